//! The file with the broadcaster's secret.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use poolmesh_proto::wire::native::Secret;

/// Bytes of a secret.
const LEN: usize = 32;

/// No file with a secret is longer: digits, and white space around them.
const LONGEST: u64 = 256;

/// The secret in the file at `path`, which is made, with a new one, if there is none.
pub(crate) fn open(path: &Path) -> io::Result<Secret> {
    let told = |what: &str, error: &io::Error| {
        io::Error::new(error.kind(), format!("can't {what} the key file {}: {error}", path.display()))
    };
    match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(LONGEST).read_to_end(&mut bytes).map_err(|error| told("read", &error))?;
            warn_if_others_read(path);
            secret(&bytes).map(Secret::new).ok_or_else(|| {
                let form = "it takes 32 bytes, as they are or as 64 hexadecimal digits";
                let error = format!("{} is no key file: {form}, and has {}", path.display(), bytes.len());
                io::Error::new(io::ErrorKind::InvalidData, error)
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|error| told("make", &error))
        }
        Err(error) => Err(told("read", &error)),
    }
}

/// Makes a file with a new secret, which nobody else may read.
fn make(path: &Path) -> io::Result<Secret> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes)?;
    let mut options = File::options();
    // Not one that has appeared meanwhile: whoever made it uses it.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = writeln!(file, "{}", hex(&bytes)).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a secret would be in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    tracing::info!(file = %path.display(), "made a key");
    Ok(Secret::new(bytes))
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

    let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode());
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
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("key");
        open(&path).unwrap();
        let made = std::fs::read(&path).unwrap();
        assert_eq!(made.len(), 2 * LEN + 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        open(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), made, "it is not made again");
        std::fs::write(&path, "secret").unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("32 bytes") && error.contains("has 6"), "{error}");
        assert!(open(&directory).unwrap_err().to_string().contains("can't read"));
        let nowhere = directory.join("no/such/directory");
        assert!(open(&nowhere).unwrap_err().to_string().contains("can't make"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
