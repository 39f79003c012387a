package srtp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// What follows secures packets a second time, from the RFCs and with the standard library alone, so that the packets of
// this package can be compared with something that shares no code with them. It is held to the vectors of the RFCs.

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keystream is RFC 3711 §4.1.1: AES in counter mode from a 16-byte block.
func keystream(key, block []byte, size int) []byte {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, size)
	cipher.NewCTR(c, block).XORKeyStream(out, out)
	return out
}

// derive is RFC 3711 §4.3.1, §4.3.3 with a derivation rate of zero.
func derive(key, salt []byte, label byte, size int) []byte {
	block := make([]byte, 16)
	copy(block, salt)
	block[7] ^= label
	return keystream(key, block, size)
}

func counterBlock(salt []byte, ssrc uint32, index uint64) []byte {
	block := make([]byte, 16)
	binary.BigEndian.PutUint32(block[4:], ssrc)
	for i := range 6 {
		block[8+i] = byte(index >> (40 - 8*i))
	}
	for i := range salt {
		block[i] ^= salt[i]
	}
	return block
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha1.New, key)
	h.Write(bytes.Join(parts, nil))
	return h.Sum(nil)
}

func gcm(key []byte) cipher.AEAD {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	g, err := cipher.NewGCM(c)
	if err != nil {
		panic(err)
	}
	return g
}

// gcmRTP is RFC 7714 §8 with a session key and salt.
func gcmRTP(key, salt, packet []byte, header int, roc uint32, plain bool) []byte {
	iv := make([]byte, 12)
	copy(iv[2:], packet[8:12])
	binary.BigEndian.PutUint32(iv[6:], roc)
	copy(iv[10:], packet[2:4])
	for i := range iv {
		iv[i] ^= salt[i]
	}
	if plain {
		return gcm(key).Seal(bytes.Clone(packet), iv, nil, packet)
	}
	return gcm(key).Seal(bytes.Clone(packet[:header]), iv, packet[header:], packet[:header])
}

// gcmRTCP is RFC 7714 §9.
func gcmRTCP(key, salt, packet []byte, index uint32, plain bool) []byte {
	iv := make([]byte, 12)
	copy(iv[2:], packet[4:8])
	binary.BigEndian.PutUint32(iv[8:], index)
	for i := range iv {
		iv[i] ^= salt[i]
	}
	word := binary.BigEndian.AppendUint32(nil, index)
	if plain {
		return append(gcm(key).Seal(bytes.Clone(packet), iv, nil, append(bytes.Clone(packet), word...)), word...)
	}
	word[0] |= 0x80
	return append(gcm(key).Seal(bytes.Clone(packet[:8]), iv, packet[8:], append(bytes.Clone(packet[:8]), word...)), word...)
}

// referenceRTP secures an RTP packet without an extension.
func referenceRTP(s *Suite, master []byte, o Options, packet []byte, roc uint32) []byte {
	key, salt := master[:s.KeyLen], master[s.KeyLen:]
	sessionKey, sessionSalt := derive(key, salt, 0, s.KeyLen), derive(key, salt, 2, s.SaltLen)
	header := 12 + 4*int(packet[0]&15)
	if s.aead {
		return append(gcmRTP(sessionKey, sessionSalt, packet, header, roc, o.PlainRTP), o.MKI...)
	}
	out := bytes.Clone(packet)
	if !o.PlainRTP {
		index := uint64(roc)<<16 | uint64(binary.BigEndian.Uint16(packet[2:]))
		block := counterBlock(sessionSalt, binary.BigEndian.Uint32(packet[8:]), index)
		for i, k := range keystream(sessionKey, block, len(packet)-header) {
			out[header+i] ^= k
		}
	}
	if o.NoAuth {
		return append(out, o.MKI...)
	}
	tag := mac(derive(key, salt, 1, 20), out, binary.BigEndian.AppendUint32(nil, roc))[:s.Tag]
	return append(append(out, o.MKI...), tag...)
}

// referenceRTCP secures an RTCP packet.
func referenceRTCP(s *Suite, master []byte, o Options, packet []byte, index uint32) []byte {
	key, salt := master[:s.KeyLen], master[s.KeyLen:]
	sessionKey, sessionSalt := derive(key, salt, 3, s.KeyLen), derive(key, salt, 5, s.SaltLen)
	if s.aead {
		return append(gcmRTCP(sessionKey, sessionSalt, packet, index, o.PlainRTCP), o.MKI...)
	}
	out := bytes.Clone(packet)
	word := binary.BigEndian.AppendUint32(nil, index)
	if !o.PlainRTCP {
		block := counterBlock(sessionSalt, binary.BigEndian.Uint32(packet[4:]), uint64(index))
		for i, k := range keystream(sessionKey, block, len(packet)-8) {
			out[8+i] ^= k
		}
		word[0] |= 0x80
	}
	out = append(out, word...)
	tag := mac(derive(key, salt, 4, 20), out)[:10]
	return append(append(out, o.MKI...), tag...)
}

// TestReference holds the reference to RFC 3711 B.2 and B.3 and RFC 6188 §7.1 and §7.2.
func TestReference(t *testing.T) {
	block := unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000")
	for key, want := range map[string][]string{
		"2B7E151628AED2A6ABF7158809CF4F3C": {"E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0",
			"EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44"},
		"57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98": {"92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31",
			"cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d 6eb246913062a16891433e97dd01a57f"},
	} {
		stream := keystream(unhex(t, key), block, 1044512)
		if first := unhex(t, want[0]); !bytes.Equal(stream[:48], first) || !bytes.Equal(stream[len(stream)-48:], unhex(t, want[1])) {
			t.Errorf("keystream of %s: %x ... %x", key, stream[:48], stream[len(stream)-48:])
		}
		if got := counterBlock(block[:14], 0, 0); !bytes.Equal(got, block) {
			t.Errorf("counter block %x", got)
		}
	}
	for _, tt := range []struct{ key, salt, cipherKey, cipherSalt, authKey string }{
		{"E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6", "C61E7A93744F39EE10734AFE3FF7A087", "30CBBC08863D8C85D49DB34A9AE1",
			"CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25" +
				"6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2"},
		{"f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6", "3b04803de51ee7c96423ab5b78d2",
			"5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4", "fa31791685ca444a9e07c6c64e93", "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"},
	} {
		key, salt := unhex(t, tt.key), unhex(t, tt.salt)
		for label, want := range map[byte]string{0: tt.cipherKey, 1: tt.authKey, 2: tt.cipherSalt} {
			if w := unhex(t, want); !bytes.Equal(derive(key, salt, label, len(w)), w) {
				t.Errorf("label %d of %s: %x", label, tt.key, derive(key, salt, label, len(w)))
			}
		}
	}
}

// TestReferenceGCM holds the reference to RFC 7714 §16 and §17: all packets of which encryption and tagging are shown.
func TestReferenceGCM(t *testing.T) {
	key := unhex(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	salt := unhex(t, "517569642070726f2071756f")
	rtp := unhex(t, "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573")
	rtcp := unhex(t, "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef")
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"16.1.1", gcmRTP(key[:16], salt, rtp, 12, 0, false), "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b" +
			"36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce"},
		{"16.1.3", gcmRTP(key[:16], salt, rtp, 12, 0, true), "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472" +
			"65732249 3f82d2bc e397e9d7 9e3b19aa 4216"},
		{"16.2.1", gcmRTP(key, salt, rtp, 12, 0, false), "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799" +
			"b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13"},
		{"16.2.3", gcmRTP(key, salt, rtp, 12, 0, true), "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472" +
			"6573a866 d5910f88 7463067c eefec452 15d4"},
		{"17.1", gcmRTCP(key[:16], salt, rtcp, 0x5d4, false), "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded" +
			"0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4"},
		{"17.2", gcmRTCP(key, salt, rtcp, 0x5d4, false), "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047" +
			"6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4"},
		{"17.3", gcmRTCP(key[:16], salt, rtcp, 0x5d4, true), "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef" +
			"deadbeef 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4"},
		{"17.4", gcmRTCP(key, salt, rtcp, 0x5d4, true), "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef" +
			"deadbeef 91db4afb feee5a97 8fab4393 ed2615fe 000005d4"},
	} {
		if !bytes.Equal(tt.got, unhex(t, tt.want)) {
			t.Errorf("§%s: %x", tt.name, tt.got)
		}
	}
}
