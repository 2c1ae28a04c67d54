package command

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bukahou/atlhyper/agent/report"
)

// DamagedError says that a journal holds a line, other than its last, that cannot be read. Which command it spoke of
// is not known, so no command may run until a person has looked.
type DamagedError struct {
	Path string
	Line int
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the command journal %s is damaged in line %d: move the file away to let commands run again, and check what ran last", e.Path, e.Line)
}

// Entry is what the journal knows of one command.
type Entry struct {
	ID      string
	Begun   time.Time
	Ended   time.Time       // zero: it began and nobody knows how it ended
	Outcome *report.Outcome // nil until it ended
}

// Journal remembers which commands were begun and how they ended, so that a redelivered one is answered and never run
// twice. It is an append-only file of lines "checksum record", each on disk before its call returns. A last line that
// was torn by a crash is dropped: its call had not returned, so nothing had been done on the strength of it.
//
// Its methods may be called by any goroutine.
type Journal struct {
	path string
	keep time.Duration
	now  func() time.Time

	mu      sync.Mutex // guards all below
	file    storage
	size    int64 // of the good part
	entries map[string]*Entry
	broken  error // the file is in a state that we could not mend: nothing more is written
	written int   // records since the last compaction
}

// storage is the part of os.File that the journal uses.
type storage interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// compactEvery bounds how many records a file gathers before entries past their time are left out.
const compactEvery = 2000

// OpenJournal reads the journal at path, or makes it, and drops entries that ended, or began, longer ago than keep.
func OpenJournal(path string, keep time.Duration, now func() time.Time) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open command journal: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open command journal: %w", err)
	}
	records, _, err := decode(bytes.NewReader(data))
	if err != nil {
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			damaged.Path = path
		}
		return nil, err
	}
	j := &Journal{path: path, keep: keep, now: now, entries: map[string]*Entry{}}
	for _, r := range records {
		j.apply(r)
	}
	// Compacting at each start also cuts a torn last line off.
	if err := j.compact(); err != nil {
		return nil, err
	}
	return j, nil
}

// record is one line.
type record struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Ended   bool      `json:"ended,omitempty"`
	Outcome []byte    `json:"outcome,omitempty"` // protobuf
}

func (r record) line() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(b), b), nil
}

// decode reads records up to the end of the good part, whose size it gives. Only the last line may be bad.
func decode(r io.Reader) (records []record, good int64, err error) {
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if len(line) == 0 {
			return records, good, nil
		}
		rec, ok := parse(line)
		if !ok {
			if _, more := in.Peek(1); more == nil {
				return nil, 0, &DamagedError{Line: n}
			}
			return records, good, nil
		}
		records = append(records, rec)
		good += int64(len(line))
		if err != nil {
			return records, good, nil
		}
	}
}

func parse(line []byte) (record, bool) {
	var r record
	sum, body, found := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if !found || !bytes.HasSuffix(line, []byte("\n")) || len(sum) != 8 {
		return r, false
	}
	var want [4]byte
	if _, err := hex.Decode(want[:], sum); err != nil {
		return r, false
	}
	got := crc32.ChecksumIEEE(body)
	if want != [4]byte{byte(got >> 24), byte(got >> 16), byte(got >> 8), byte(got)} {
		return r, false
	}
	if err := json.Unmarshal(body, &r); err != nil || r.ID == "" {
		return r, false
	}
	return r, true
}

func (j *Journal) apply(r record) {
	e := j.entries[r.ID]
	if e == nil {
		e = &Entry{ID: r.ID, Begun: r.At}
		j.entries[r.ID] = e
	}
	if !r.Ended {
		return
	}
	o := &report.Outcome{}
	if err := proto.Unmarshal(r.Outcome, o); err != nil {
		return // the checksum held, so another version wrote it: that it began is what counts
	}
	e.Ended, e.Outcome = r.At, o
}

// Lookup gives what is known of a command. The outcome must not be changed.
func (j *Journal) Lookup(id string) (Entry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.entries[id]
	if e == nil {
		return Entry{}, false
	}
	return *e, true
}

// Begin writes that a command is about to run. When it fails the command must not run.
func (j *Journal) Begin(id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.entries[id] != nil {
		return fmt.Errorf("begin command %s: it is in the journal already", id)
	}
	r := record{ID: id, At: j.now()}
	if err := j.write(r); err != nil {
		return fmt.Errorf("write command journal %s: %w", j.path, err)
	}
	j.apply(r)
	return nil
}

// End writes how a command ended. When it fails the outcome is remembered for as long as this process lives.
func (j *Journal) End(id string, o *report.Outcome) error {
	b, err := proto.Marshal(o)
	if err != nil {
		return fmt.Errorf("end command %s: %w", id, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r := record{ID: id, At: j.now(), Ended: true, Outcome: b}
	err = j.write(r)
	j.apply(r)
	if err != nil {
		return fmt.Errorf("write command journal %s: %w", j.path, err)
	}
	if j.written >= compactEvery {
		return j.compact()
	}
	return nil
}

// write appends one record. After a failure the half-written line is cut off, or the next one would make it look
// like damage.
func (j *Journal) write(r record) error {
	if j.broken != nil {
		return j.broken
	}
	line, err := r.line()
	if err != nil {
		return err
	}
	if _, err = j.file.Write(line); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		if cut := j.file.Truncate(j.size); cut != nil {
			j.broken = fmt.Errorf("%w, and the rest of a failed write could not be removed: %w", err, cut)
		}
		return err
	}
	j.size += int64(len(line))
	j.written++
	return nil
}

// compact writes the entries that are young enough into a new file and puts it in the old one's place.
func (j *Journal) compact() error {
	oldest := j.now().Add(-j.keep)
	var buf bytes.Buffer
	for id, e := range j.entries {
		if e.Ended.Before(oldest) && e.Begun.Before(oldest) {
			delete(j.entries, id)
			continue
		}
		records := []record{{ID: id, At: e.Begun}}
		if e.Outcome != nil {
			b, err := proto.Marshal(e.Outcome)
			if err != nil {
				return fmt.Errorf("compact command journal: %w", err)
			}
			records = append(records, record{ID: id, At: e.Ended, Ended: true, Outcome: b})
		}
		for _, r := range records {
			line, err := r.line()
			if err != nil {
				return fmt.Errorf("compact command journal: %w", err)
			}
			buf.Write(line)
		}
	}
	f, err := replace(j.path, buf.Bytes())
	if err != nil {
		return fmt.Errorf("compact command journal %s: %w", j.path, err)
	}
	if j.file != nil {
		_ = j.file.Close() // its content is in the new file
	}
	j.file, j.size, j.written, j.broken = f, int64(buf.Len()), 0, nil
	return nil
}

// replace puts a file with this content at path so that a crash leaves the old one or the new one, and gives it open
// for appending.
func replace(path string, content []byte) (*os.File, error) {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = errors.New("the journal is closed")
	return j.file.Close()
}
