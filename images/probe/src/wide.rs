//! Sockets by a family that a system call filter may take for another: the kernel looks at the lower 32 bits of the
//! argument, a filter that compares all 64 sees a number far above any family.

use nix::libc;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// A stream socket of AF_VSOCK, if that trick opens one.
pub(crate) fn vsock() -> Option<OwnedFd> {
    open(libc::AF_VSOCK, libc::SOCK_STREAM)
}

/// A socket of AF_PACKET, if that trick opens one.
pub(crate) fn packet() -> Option<OwnedFd> {
    open(libc::AF_PACKET, libc::SOCK_RAW)
}

// Where a register has only 32 bits there is nothing to hide in.
#[cfg(target_pointer_width = "64")]
#[allow(
    unsafe_code,
    reason = "no wrapper passes an argument that is wider than its type"
)]
fn open(family: libc::c_int, kind: libc::c_int) -> Option<OwnedFd> {
    let wide = (1_i64 << 32) | i64::from(family);
    let kind = i64::from(kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    // SAFETY: socket(2) takes three numbers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_socket, wide, kind, 0_i64) };
    let descriptor = i32::try_from(answer).ok().filter(|descriptor| *descriptor >= 0)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(not(target_pointer_width = "64"))]
fn open(_family: libc::c_int, _kind: libc::c_int) -> Option<OwnedFd> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_lower_half_for_the_family() {
        // Where it did not, nothing that uses the trick would prove anything.
        let socket = open(libc::AF_UNIX, libc::SOCK_STREAM).unwrap();
        let domain = nix::sys::socket::getsockname::<nix::sys::socket::UnixAddr>(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
        );
        assert!(domain.is_ok(), "{domain:?}");
    }
}
