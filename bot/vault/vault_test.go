package vault_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/bot/vault"
)

func TestOnlyTheKeyAndTheNameOpenWhatIsSealed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret.key")
	v, err := vault.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	secret := []byte("AIza-canary")
	sealed := v.Seal("model", secret)
	if bytes.Contains(sealed, secret) || bytes.Equal(sealed, v.Seal("model", secret)) {
		t.Error("it is not sealed, or twice alike")
	}
	again, err := vault.Open(file) // the next process
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Unseal("model", sealed); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%q, %v", got, err)
	}
	other, err := vault.Passing()
	if err != nil {
		t.Fatal(err)
	}
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	for what, open := range map[string]func() ([]byte, error){
		"another key":  func() ([]byte, error) { return other.Unseal("model", sealed) },
		"another name": func() ([]byte, error) { return v.Unseal("mail", sealed) },
		"altered":      func() ([]byte, error) { return v.Unseal("model", altered) },
		"half of it":   func() ([]byte, error) { return v.Unseal("model", sealed[:len(sealed)/2]) },
		"nothing":      func() ([]byte, error) { return v.Unseal("model", nil) },
	} {
		if got, err := open(); !errors.Is(err, vault.ErrForeign) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

func TestAKeyThatIsNoneNamesTheRemedy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret.key")
	if err := os.WriteFile(file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(file); err == nil || !strings.Contains(err.Error(), "must hold 64 hexadecimal digits, such as `openssl rand -hex 32` writes") {
		t.Error(err)
	}
	if _, err := vault.Open(filepath.Join(t.TempDir(), "no", "such")); err == nil {
		t.Error("a key was made where there is no folder")
	}
}
