# grpc.py AUTHORITY: one call of each kind with gRPC's own client, as a program that knows nothing of proxies would make it.
import sys

import grpc

channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials())


def trailers(call):
    return dict(call.trailing_metadata())["x-messages"]


answer, call = channel.unary_unary("/fixture.Echo/Once").with_call(b"hello", timeout=20)
print("once", answer.decode(), call.code().name, trailers(call))

stream = channel.unary_stream("/fixture.Echo/Three")(b"hello", timeout=20)
print("three", [message.decode() for message in stream], stream.code().name, trailers(stream))

try:
    channel.unary_unary("/fixture.Echo/Fail")(b"hello", timeout=20)
except grpc.RpcError as error:
    print("fail", error.code().name, error.details(), trailers(error))
