//! OpenSSL's old way to encrypt a PEM key (`Proc-Type: 4,ENCRYPTED`), as `ssh-keygen -m PEM` writes.
//!
//! russh decrypts it for RSA with AES-128 alone; this makes a plain PEM of any of them.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// The same key without encryption: `None` if `pem` is of another kind, or else the text, or the
/// name of a cipher that is not supported. With a wrong `passphrase` the text is empty or holds no
/// key.
pub(super) fn decrypt(pem: &str, passphrase: &str) -> Option<Result<Zeroizing<String>, String>> {
    let mut lines = pem
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN "));
    let begin = lines.next()?;
    let body: Vec<&str> = lines
        .take_while(|line| !line.starts_with("-----END "))
        .collect();
    let info = body
        .iter()
        .find_map(|line| line.strip_prefix("DEK-Info:"))?;
    let (cipher, iv) = info.trim().split_once(',')?;
    let iv = unhex(iv.trim())?;
    // Header lines hold a colon, base64 none.
    let data: String = body
        .into_iter()
        .filter(|line| !line.contains(':'))
        .collect();
    let mut data = Zeroizing::new(BASE64.decode(data).ok()?);
    let plain = match cipher {
        "AES-128-CBC" => {
            let key = derive::<16>(passphrase, &iv);
            cbc::Decryptor::<Aes128>::new(&(*key).into(), &iv.into())
                .decrypt_padded::<Pkcs7>(&mut data)
        }
        "AES-192-CBC" => {
            let key = derive::<24>(passphrase, &iv);
            cbc::Decryptor::<Aes192>::new(&(*key).into(), &iv.into())
                .decrypt_padded::<Pkcs7>(&mut data)
        }
        "AES-256-CBC" => {
            let key = derive::<32>(passphrase, &iv);
            cbc::Decryptor::<Aes256>::new(&(*key).into(), &iv.into())
                .decrypt_padded::<Pkcs7>(&mut data)
        }
        other => return Some(Err(other.to_owned())),
    };
    let der = plain.unwrap_or_default();
    let base64 = Zeroizing::new(BASE64.encode(der));
    let end = begin.replacen("BEGIN", "END", 1);
    Some(Ok(Zeroizing::new(format!("{begin}\n{}\n{end}\n", *base64))))
}

/// OpenSSL's `EVP_BytesToKey` with MD5, one round, and the start of the vector as salt.
fn derive<const N: usize>(passphrase: &str, iv: &[u8; 16]) -> Zeroizing<[u8; N]> {
    let mut key = Zeroizing::new([0; N]);
    let mut digest = Zeroizing::new(Vec::new());
    for block in key.chunks_mut(16) {
        let mut hash = md5::Context::new();
        hash.consume(digest.as_slice());
        hash.consume(passphrase.as_bytes());
        hash.consume(&iv[..8]);
        *digest = hash.finalize().0.to_vec();
        block.copy_from_slice(&digest[..block.len()]);
    }
    key
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let value = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32).then(|| value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_without_encryption_is_not_its_business() {
        let plain = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(decrypt(plain, "x").is_none());
        assert!(decrypt("", "x").is_none());
    }

    #[test]
    fn an_unknown_cipher_is_named_and_a_bad_header_is_no_panic() {
        let pem = |info: &str| {
            format!("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: {info}\n\nAAAA\n-----END X-----\n")
        };
        let des = decrypt(&pem("DES-EDE3-CBC,00112233445566778899aabbccddeeff"), "x");
        assert_eq!(des, Some(Err("DES-EDE3-CBC".to_owned())));
        assert!(decrypt(&pem("AES-128-CBC,zz"), "x").is_none());
        assert!(decrypt(&pem("AES-128-CBC,"), "x").is_none());
        assert!(decrypt(&pem("AES-128-CBC,+0112233445566778899aabbccddeeff"), "x").is_some());
        assert!(decrypt(&pem("AES-128-CBC"), "x").is_none());
    }
}
