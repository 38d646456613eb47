//! System calls as an attacker makes them: by their numbers.
//!
//! The only place with `unsafe`, since an attacker does not ask for leave.
#![allow(unsafe_code)]

use std::io;

/// A system call; what it returns.
pub(crate) fn call(number: i64, arguments: [i64; 6]) -> io::Result<i64> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: whoever calls passes numbers, or pointers to what outlives the call; a process that only tries this one
    // thing may break by it.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Whether the kernel begins to do this: with arguments that it then finds wrong, so that nothing comes of it.
pub(crate) fn reaches(number: i64, arguments: [i64; 6]) -> io::Result<()> {
    match call(number, arguments) {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EOPNOTSUPP) => Err(error),
            _ => Ok(()),
        },
    }
}

/// The address of something, for a system call.
pub(crate) fn address<T: ?Sized>(of: &T) -> i64 {
    (&raw const *of).cast::<u8>() as i64
}
