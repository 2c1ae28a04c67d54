// Package vault seals the few secrets that people give in chat, so that the database and its backups alone open none. What is
// sealed under one name opens under no other.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// keySize is AES-256's.
const keySize = 32

// Vault seals with AES-256-GCM. It is safe for concurrent use.
type Vault struct{ aead cipher.AEAD }

// ErrForeign is what Unseal wraps when something was sealed with another key, under another name, or was altered.
var ErrForeign = errors.New("it was sealed with another key")

// Open reads the key from a file, 64 hexadecimal digits. A file that does not exist is made, readable by its owner alone.
func Open(file string) (*Vault, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, keySize)
		rand.Read(key)
		raw = []byte(hex.EncodeToString(key) + "\n")
		var f *os.File
		if f, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_, err = f.Write(raw)
			err = errors.Join(err, f.Sync(), f.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of the vault: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("key of the vault: %s must hold %d hexadecimal digits, such as `openssl rand -hex %d` writes", file, 2*keySize, keySize)
	}
	return With(key)
}

// Passing makes a vault whose key ends with the process.
func Passing() (*Vault, error) {
	key := make([]byte, keySize)
	rand.Read(key)
	return With(key)
}

// With makes a vault with a key of 32 bytes.
func With(key []byte) (*Vault, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Vault{aead}, nil
}

// Seal encrypts what is kept under a name.
func (v *Vault) Seal(name string, plain []byte) []byte {
	return v.aead.Seal(nil, nil, plain, []byte(name))
}

// Unseal gives it back.
func (v *Vault) Unseal(name string, sealed []byte) ([]byte, error) {
	plain, err := v.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, ErrForeign
	}
	return plain, nil
}
