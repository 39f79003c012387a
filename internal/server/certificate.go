package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dialtone/internal/config"
)

// certificates serves the certificate of the static file, or a self-signed one of the data directory, and reads it
// again when its file has changed, so that a renewed certificate needs no restart.
type certificates struct {
	cert, key string

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time // modification time of the file that is loaded
	checked time.Time
}

// checkEvery is how often the file is looked at, at most.
const checkEvery = 10 * time.Second

// newCertificates finds the certificate; names are for one that has to be made.
func newCertificates(c config.TLS, dir string, names []string, addrs []netip.Addr) (*certificates, error) {
	s := &certificates{cert: c.Certificate, key: c.Key}
	if s.cert == "" {
		s.cert, s.key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
		if _, err := os.Stat(s.cert); errors.Is(err, os.ErrNotExist) {
			if err := selfSigned(s.cert, s.key, names, addrs); err != nil {
				return nil, fmt.Errorf("make a certificate: %w", err)
			}
		}
	}
	if _, err := s.get(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return s, nil
}

// server is the TLS configuration of listeners: RFC 3261 §26.3.1, no version before 1.2.
func (s *certificates) server(clientCA string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.get() }}
	if clientCA == "" {
		return c, nil
	}
	pemBytes, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, fmt.Errorf("tls.client_ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
	if !c.ClientCAs.AppendCertsFromPEM(pemBytes) {
		return nil, fmt.Errorf("tls.client_ca: no certificate in %s", clientCA)
	}
	return c, nil
}

func (s *certificates) get() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.loaded != nil && now.Sub(s.checked) < checkEvery {
		return s.loaded, nil
	}
	s.checked = now
	info, err := os.Stat(s.cert)
	if err == nil && s.loaded != nil && info.ModTime().Equal(s.changed) {
		return s.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(s.cert, s.key)
	}
	switch {
	case err == nil:
		s.loaded, s.changed = &pair, info.ModTime()
	case s.loaded == nil:
		return nil, err
	}
	return s.loaded, nil // a file that is being replaced: the old one still does
}

// selfSigned makes a certificate for this host: enough to encrypt, not to prove who we are.
func selfSigned(certFile, keyFile string, names []string, addrs []netip.Addr) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Dialtone"}, DNSNames: names,
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(2, 0, 0), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, a := range addrs {
		t.IPAddresses = append(t.IPAddresses, net.IP(a.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
