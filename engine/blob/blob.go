// Package blob writes and reads checkpoints: a magic word, a version, the fields one after another, and the CRC-32C of
// all before. Integers are varints, floats eight little-endian bytes, strings and lists stand behind their length.
package blob

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged is returned for what is no whole checkpoint.
var ErrDamaged = errors.New("the checkpoint is damaged; it is begun anew")

// Encoder appends fields. Its zero value is not ready: see NewEncoder.
type Encoder struct{ b []byte }

// NewEncoder begins a checkpoint of a kind.
func NewEncoder(magic string, version uint64) *Encoder {
	e := &Encoder{b: []byte(magic)}
	e.Uint(version)
	return e
}

// Grow makes room for n more bytes.
func (e *Encoder) Grow(n int) { e.b = slices.Grow(e.b, n) }

// Uint appends a whole number.
func (e *Encoder) Uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }

// Float appends a number.
func (e *Encoder) Float(x float64) { e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(x)) }

// Float32 appends a number in four bytes. NaN is allowed: it stands for unknown.
func (e *Encoder) Float32(x float32) {
	e.b = binary.LittleEndian.AppendUint32(e.b, math.Float32bits(x))
}

// Count appends a number that is whole as a rule, which is then short.
func (e *Encoder) Count(x float64) {
	if n := uint64(x); x >= 0 && x < 1<<62 && float64(n) == x {
		e.Uint(n << 1)
		return
	}
	e.Uint(1)
	e.Float(x)
}

// String appends a text.
func (e *Encoder) String(s string) {
	e.Uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

// Seal gives the finished checkpoint.
func (e *Encoder) Seal() []byte {
	return binary.LittleEndian.AppendUint32(e.b, crc32.Checksum(e.b, castagnoli))
}

// Decoder reads fields in the order in which they were written. When something does not fit it is bad from then on and
// gives zeros, so that a caller need ask only now and then.
type Decoder struct {
	b   []byte
	bad bool
}

// NewDecoder opens a checkpoint. It fails for a damaged one, and for one of another kind or version.
func NewDecoder(raw []byte, magic string, version uint64) (*Decoder, error) {
	body := len(raw) - 4
	if body < len(magic) || string(raw[:len(magic)]) != magic || crc32.Checksum(raw[:body], castagnoli) != binary.LittleEndian.Uint32(raw[body:]) {
		return nil, ErrDamaged
	}
	d := &Decoder{b: raw[len(magic):body]}
	if v := d.Uint(); v != version {
		return nil, fmt.Errorf("version %d, want %d; it is begun anew", v, version)
	}
	return d, nil
}

// Bad says whether something did not fit.
func (d *Decoder) Bad() bool { return d.bad }

// Fail makes the decoder bad: a value makes no sense.
func (d *Decoder) Fail() { d.bad = true }

// End gives ErrDamaged unless everything was read and fitted.
func (d *Decoder) End() error {
	if d.bad || len(d.b) > 0 {
		return ErrDamaged
	}
	return nil
}

// Uint reads a whole number.
func (d *Decoder) Uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

// Time reads a number of seconds or the like, which is never negative and below 2⁶².
func (d *Decoder) Time() int64 {
	n := d.Uint()
	if n > 1<<62 {
		d.bad = true
		return 0
	}
	return int64(n)
}

// Length reads the length of a list whose entries take at least `each` bytes, so that a false one allocates nothing.
func (d *Decoder) Length(each int) int {
	n := d.Uint()
	if n > uint64(len(d.b)/max(each, 1)) {
		d.bad = true
		return 0
	}
	return int(n)
}

// Float reads a finite number.
func (d *Decoder) Float() float64 {
	if len(d.b) < 8 {
		d.bad, d.b = true, nil
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
	d.b = d.b[8:]
	if math.IsNaN(x) || math.IsInf(x, 0) {
		d.bad = true
		return 0
	}
	return x
}

// Float32 reads a number that is finite or NaN.
func (d *Decoder) Float32() float32 {
	if len(d.b) < 4 {
		d.bad, d.b = true, nil
		return 0
	}
	x := math.Float32frombits(binary.LittleEndian.Uint32(d.b))
	d.b = d.b[4:]
	if math.IsInf(float64(x), 0) {
		d.bad = true
		return 0
	}
	return x
}

// Count reads what Encoder.Count wrote; it is never negative.
func (d *Decoder) Count() float64 {
	n := d.Uint()
	if n&1 == 0 {
		return float64(n >> 1)
	}
	x := d.Float()
	if n != 1 || x < 0 {
		d.bad = true
		return 0
	}
	return x
}

// String reads a text.
func (d *Decoder) String() string {
	n := d.Length(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
