//! The file with the broadcaster's secret.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use poolmesh_proto::wire::native::Secret;

/// Bytes of a secret.
const LEN: usize = 32;

/// No file with a secret is longer: digits, and white space around them.
const LONGEST: u64 = 256;

/// The secret in the file at `path`, which is made, with a new one, if there is none. Programs that make it at the same time
/// have the same secret.
pub(crate) fn open(path: &Path) -> io::Result<Secret> {
    let told = |what: &str, error: &io::Error| {
        io::Error::new(error.kind(), format!("can't {what} the key file {}: {error}", path.display()))
    };
    if is_missing(path).map_err(|error| told("read", &error))? {
        make(path).map_err(|error| told("make", &error))?;
    }
    let bytes = read(path).map_err(|error| told("read", &error))?;
    warn_if_others_read(path);
    let wrong = |what| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is no key file: {what}", path.display()))
    };
    let secret = secret(&bytes).ok_or_else(|| {
        wrong(format!("it takes 32 bytes, as they are or as 64 hexadecimal digits, and has {}", bytes.len()))
    })?;
    // Such as a disk leaves behind that was full, and never what is random.
    if secret.iter().all(|byte| secret.first() == Some(byte)) {
        return Err(wrong("all its bytes are the same; take it away to have one made".into()));
    }
    Ok(Secret::new(secret))
}

/// Whether nothing is there. What is there has to be a file: from a pipe a program would read for as long as nobody writes, and
/// from a device whatever it has just then.
fn is_missing(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => Ok(false),
        Ok(there) if there.is_dir() => Err(io::Error::other("it is a directory")),
        Ok(_) => Err(io::Error::other("it is no regular file but a pipe, a socket or a device")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a file with a new secret, which nobody else may read; or leaves the one that somebody else has made meanwhile. It is
/// written beside its place and linked there, so that nobody ever finds half of it, whenever this program is killed.
fn make(path: &Path) -> io::Result<()> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes)?;
    let draft = draft(path)?;
    let linked = write(&draft, &bytes).and_then(|()| link(&draft, path));
    // Also if it is where it should be: there it has a name of its own.
    let _ = fs::remove_file(&draft);
    if linked? {
        tracing::info!(file = %path.display(), "made a key");
    }
    Ok(())
}

/// A name beside `path` that nobody else has.
fn draft(path: &Path) -> io::Result<PathBuf> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", hex(&bytes)));
    Ok(name.into())
}

fn write(draft: &Path, secret: &[u8; LEN]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft)?;
    writeln!(file, "{}", hex(secret))?;
    file.sync_all()
}

/// Has the file at `draft` stand at `path`, too. False if another one stands there, which is not written over.
fn link(draft: &Path, path: &Path) -> io::Result<bool> {
    match fs::hard_link(draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => {
            let hint = "it is made by a hard link; on a file system without them write 32 random bytes there yourself";
            Err(io::Error::new(error.kind(), format!("{error} ({hint})")))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes as they are, or as digits with white space around them.
fn secret(bytes: &[u8]) -> Option<[u8; LEN]> {
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let digits = bytes.trim_ascii();
    let mut secret = [0; LEN];
    if digits.len() != 2 * LEN {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(secret)
}

/// Whoever reads the secret can make tickets, so as to be anybody in any pool.
#[cfg(unix)]
fn warn_if_others_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "others may read the key: chmod 600");
    }
}

#[cfg(not(unix))]
fn warn_if_others_read(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_raw_and_as_digits() {
        let raw: [u8; LEN] = std::array::from_fn(|at| (at * 8) as u8);
        let digits = hex(&raw);
        for text in [digits.clone(), digits.to_uppercase(), format!(" {digits}\r\n")] {
            assert_eq!(secret(text.as_bytes()), Some(raw), "{text}");
        }
        assert_eq!(secret(&raw), Some(raw));
        // 32 digits are 32 bytes.
        assert_eq!(secret(&[b'0'; LEN]), Some([b'0'; LEN]));
        for wrong in
            ["", &digits[1..], &format!("{digits}0"), &digits.replace("00", "+1"), &digits.replace("00", "ä")]
        {
            assert_eq!(secret(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_is_made_once_and_for_its_owner_alone() {
        let directory = std::env::temp_dir().join(format!("poolmesh-key-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("key");
        open(&path).unwrap();
        let made = fs::read(&path).unwrap();
        assert_eq!(made.len(), 2 * LEN + 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), made, "it is not made again");
        fs::write(&path, "secret").unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("32 bytes") && error.contains("has 6"), "{error}");
        assert!(open(&directory).unwrap_err().to_string().contains("it is a directory"));
        let nowhere = directory.join("no/such/directory");
        assert!(open(&nowhere).unwrap_err().to_string().contains("can't make"));
        fs::remove_dir_all(&directory).unwrap();
    }
    #[test]
    fn programs_that_make_it_at_once_have_one_secret_and_leave_nothing_behind() {
        let directory = std::env::temp_dir().join(format!("poolmesh-keys-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for round in 0..20 {
            let path = directory.join(round.to_string());
            let opened: Vec<Secret> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&path).unwrap())).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let kept = secret(&read(&path).unwrap()).map(Secret::new);
            assert!(opened.iter().all(|secret| Some(secret) == kept.as_ref()), "in round {round}");
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 20);
        // What stands there is neither written over nor followed.
        #[cfg(unix)]
        {
            let dangling = directory.join("dangling");
            std::os::unix::fs::symlink(directory.join("nowhere"), &dangling).unwrap();
            assert!(open(&dangling).unwrap_err().to_string().contains("can't read"));
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
