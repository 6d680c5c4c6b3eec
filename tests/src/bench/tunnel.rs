//! A blind CONNECT tunnel: what any forward proxy costs that looks at nothing.

use anyhow::Context as _;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Serves until the process ends.
pub async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        // A client that goes away in the middle is no matter.
        tokio::spawn(async move { drop(tunnel(client).await) });
    }
}

async fn tunnel(mut client: TcpStream) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(
            head.len() < 4096 && client.read_buf(&mut head).await? > 0,
            "no CONNECT head"
        );
    }
    let text = String::from_utf8(head)?;
    let authority = text
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next())
        .context("not a CONNECT")?;
    let mut upstream = TcpStream::connect(authority).await?;
    upstream.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}
