package dtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"dialtone/internal/sdp"
)

// Identity is a certificate with its key. One is enough for a process; it is read by many goroutines.
type Identity struct {
	certificate tls.Certificate
	fingerprint sdp.Fingerprint
}

// validity is how long a certificate holds. Peers look at its fingerprint, not at its dates; a process may run for long.
const validity = 10 * 365 * 24 * time.Hour

// NewIdentity makes a self-signed certificate with an ECDSA key on P-256.
//
// RFC 8827 §6.5: "All implementations MUST support ... ECDSA with the P-256 curve".
func NewIdentity() (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make DTLS key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make DTLS certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "WebRTC"}, // says nothing about who we are
		NotBefore:    now.Add(-24 * time.Hour),        // the peer's clock may be slow
		NotAfter:     now.Add(validity),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make DTLS certificate: %w", err)
	}
	return newIdentity(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
}

// LoadIdentity reads certificate and key from PEM, as PEM writes them.
func LoadIdentity(certificate, key []byte) (*Identity, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("load DTLS identity: %w", err)
	}
	return newIdentity(pair)
}

func newIdentity(pair tls.Certificate) (*Identity, error) {
	if _, ok := pair.PrivateKey.(crypto.Signer); !ok || len(pair.Certificate) == 0 {
		return nil, errors.New("load DTLS identity: no certificate with a key that signs")
	}
	sum := sha256.Sum256(pair.Certificate[0])
	return &Identity{pair, sdp.Fingerprint{Hash: "sha-256", Sum: sum[:]}}, nil
}

// PEM writes certificate and key; the latter is a secret.
func (i *Identity) PEM() (certificate, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.certificate.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("write DTLS key: %w", err)
	}
	var b bytes.Buffer
	for _, c := range i.certificate.Certificate {
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c}); err != nil {
			return nil, nil, fmt.Errorf("write DTLS certificate: %w", err)
		}
	}
	return b.Bytes(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Fingerprint is the sha-256 of the certificate, for a=fingerprint.
func (i *Identity) Fingerprint() sdp.Fingerprint { return i.fingerprint }

// Format implements fmt.Formatter: no verb shows the key.
func (i *Identity) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(i.fingerprint.String())) }

// LogValue implements slog.LogValuer.
func (i *Identity) LogValue() slog.Value { return slog.StringValue(i.fingerprint.String()) }

// strongest are the fingerprints of the strongest hash that may be used; none when there is no such hash.
//
// RFC 8122 §5.1: of several hashes an endpoint takes the set of the one it prefers, and the certificate must match one
// fingerprint of the set. RFC 8827 §6.5: hashes that are weaker than sha-256 are not accepted.
func strongest(fingerprints []sdp.Fingerprint) []sdp.Fingerprint {
	for _, hash := range []string{"sha-512", "sha-384", "sha-256"} {
		var set []sdp.Fingerprint
		for _, f := range fingerprints {
			if f.Hash == hash {
				set = append(set, f)
			}
		}
		if set != nil {
			return set
		}
	}
	return nil
}

// matches tells whether a certificate, in DER, has one of the fingerprints.
func matches(set []sdp.Fingerprint, certificate []byte) bool {
	for _, f := range set {
		var sum []byte
		switch f.Hash {
		case "sha-256":
			s := sha256.Sum256(certificate)
			sum = s[:]
		case "sha-384":
			s := sha512.Sum384(certificate)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(certificate)
			sum = s[:]
		}
		if len(sum) > 0 && subtle.ConstantTimeCompare(sum, f.Sum) == 1 {
			return true
		}
	}
	return false
}
