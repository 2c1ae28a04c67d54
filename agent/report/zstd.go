package report

import (
	"io"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/zstd"
)

// Zstd is the name of the compression that agent and engine use between them.
const Zstd = "zstd"

// maxWindow bounds what one message may make the receiver allocate: a hostile frame header cannot ask for more.
const maxWindow = 16 << 20

// ClientCompression makes a client send zstd and accept it. A server that does not know it refuses the call, so both
// ends must carry the option.
func ClientCompression() connect.ClientOption {
	return connect.WithClientOptions(
		connect.WithAcceptCompression(Zstd, newDecompressor, newCompressor),
		connect.WithSendCompression(Zstd),
	)
}

// HandlerCompression makes a handler accept zstd and answer in it.
func HandlerCompression() connect.HandlerOption {
	return connect.WithCompression(Zstd, newDecompressor, newCompressor)
}

// decompressor is pooled by connect, which calls Close before each reuse: closing a zstd decoder for good would make
// the pool hand out dead ones. With a concurrency of one there is no goroutine to leave behind.
type decompressor struct{ *zstd.Decoder }

func newDecompressor() connect.Decompressor {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		panic("zstd decoder options: " + err.Error()) // constants above are wrong; no input leads here
	}
	return decompressor{d}
}

func (d decompressor) Reset(r io.Reader) error { return d.Decoder.Reset(r) }

// Close lets go of the reader but keeps the decoder usable.
func (d decompressor) Close() error { return d.Decoder.Reset(nil) }

func newCompressor() connect.Compressor {
	// One megabyte of window is about what a batch holds; more would only cost the agent memory.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic("zstd encoder options: " + err.Error()) // constants above are wrong; no input leads here
	}
	return e
}
