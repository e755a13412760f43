package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
)

// This file encodes ids as opaque tokens and decodes them. A token works wherever the digits do,
// and reveals nothing to its holder.

const tokenVersion = "v1."

// encodeToken encodes an id.
func (w world) encodeToken(o object, id int64) string {
	hidden := w.permute(o, uint64(id), false)
	b := binary.BigEndian.AppendUint64(nil, hidden)
	b = binary.BigEndian.AppendUint32(b, w.tokenChecksum(o, hidden))
	return tokenVersion + base64.RawURLEncoding.EncodeToString(b)
}

// decodeToken decodes a token. It returns false for a token of another world or another object, and
// for a text that is not a token.
func (w world) decodeToken(o object, token string) (int64, bool) {
	text, ok := strings.CutPrefix(token, tokenVersion)
	if !ok {
		return 0, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != 12 {
		return 0, false
	}
	hidden := binary.BigEndian.Uint64(b)
	id := int64(w.permute(o, hidden, true))
	return id, binary.BigEndian.Uint32(b[8:]) == w.tokenChecksum(o, hidden) && id > 0
}

// tokenChecksum distinguishes the tokens of one world and object from all others.
func (w world) tokenChecksum(o object, hidden uint64) uint32 {
	return uint32(mix(w.seed^uint64(o+31)<<48, hidden))
}

// permute is a permutation of the 64-bit numbers: a Feistel network. Running its rounds backwards
// undoes it.
func (w world) permute(o object, x uint64, inverse bool) uint64 {
	const rounds = 4
	left, right := uint32(x>>32), uint32(x)
	for i := range rounds {
		if inverse {
			i = rounds - 1 - i
			left, right = right^uint32(mix(w.seed+uint64(o), uint64(i)<<32|uint64(left))), left
			continue
		}
		left, right = right, left^uint32(mix(w.seed+uint64(o), uint64(i)<<32|uint64(right)))
	}
	return uint64(left)<<32 | uint64(right)
}

// parseID reads an id in digits or as a token.
func (w world) parseID(o object, text string) (int64, bool) {
	if id, ok := w.decodeToken(o, text); ok {
		return id, true
	}
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	id, err := strconv.ParseInt(text, 10, 64)
	return id, err == nil && id > 0
}
