package inbox

import (
	"encoding/binary"
	"errors"
	"time"
)

var errRecord = errors.New("it is not a delivery that this version can read")

// encodeHead is the head of a record: when the delivery arrived, in microseconds of Unix time, and its id.
func encodeHead(received time.Time, id string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(received.UnixMicro())) //nolint:gosec // as its bits
	return append(b, id...)
}

func decodeHead(head []byte) (received time.Time, id string, err error) {
	if len(head) < 8 {
		return received, "", errRecord
	}
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(head))).UTC(), string(head[8:]), nil //nolint:gosec // as its bits
}

// encodeBody is the body of a record: the length of the timestamp header, that header, and the body.
func encodeBody(stamp string, body []byte) []byte {
	b := binary.AppendUvarint(make([]byte, 0, len(stamp)+len(body)+4), uint64(len(stamp)))
	return append(append(b, stamp...), body...)
}

func decodeBody(b []byte) (stamp string, body []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, errRecord
	}
	b = b[size:]
	return string(b[:n]), b[n:], nil
}
