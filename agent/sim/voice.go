package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// voice writes log lines the way a service's language and framework do.
type voice struct {
	service *service
	at      time.Time
	r       *rand.Rand
	lines   []string
	silent  bool // no ordinary lines this second
}

func (v *voice) info(format string, args ...any) { v.say("INFO", fmt.Sprintf(format, args...)) }
func (v *voice) warn(format string, args ...any) { v.say("WARN", fmt.Sprintf(format, args...)) }
func (v *voice) fail(format string, args ...any) { v.say("ERROR", fmt.Sprintf(format, args...)) }

func (v *voice) say(level, message string) {
	at := v.at.Add(time.Duration(min(999, 150*len(v.lines)+v.r.IntN(150))) * time.Millisecond).UTC()
	var line string
	switch v.service.language {
	case "java":
		line = fmt.Sprintf("%s %5s 1 --- [nio-8080-exec-%d] c.e.%s.Api : %s", at.Format("2006-01-02T15:04:05.000Z"), level, 1+v.r.IntN(8), strings.ReplaceAll(v.service.name, "-", ""), message)
	case "python":
		line = fmt.Sprintf("%s %s [%s] %s", at.Format("2006-01-02 15:04:05,000"), level, strings.ReplaceAll(v.service.name, "-", "_"), message)
	case "redis":
		mark := map[string]string{"INFO": "*", "WARN": "#", "ERROR": "#"}[level]
		line = fmt.Sprintf("1:M %s %s %s", at.Format("02 Jan 2006 15:04:05.000"), mark, message)
	case "postgres":
		word := map[string]string{"INFO": "LOG", "WARN": "WARNING", "ERROR": "ERROR"}[level]
		line = fmt.Sprintf("%s UTC [%d] %s:  %s", at.Format("2006-01-02 15:04:05.000"), 60+v.r.IntN(200), word, message)
	default:
		quoted, err := json.Marshal(message)
		if err != nil {
			quoted = []byte(`"?"`) // a string always can be quoted
		}
		line = fmt.Sprintf(`{"time":%q,"level":%q,"msg":%s}`, at.Format("2006-01-02T15:04:05.000Z"), strings.ToLower(level), quoted)
	}
	v.lines = append(v.lines, line)
}

// trace is the stack that a dying process leaves.
func (v *voice) trace() []string {
	switch v.service.language {
	case "java":
		return []string{
			"Exception in thread \"main\" java.io.StreamCorruptedException: checksum mismatch",
			"\tat com.example.cache.LocalIndex.open(LocalIndex.java:88)",
			"\tat com.example.Application.main(Application.java:31)",
		}
	case "python":
		return []string{
			"Traceback (most recent call last):",
			"  File \"/app/main.py\", line 41, in <module>",
			"  File \"/app/cache/index.py\", line 77, in open_index",
			"ValueError: checksum mismatch",
		}
	case "node":
		return []string{
			"Error: checksum mismatch", "    at LocalIndex.open (/app/cache/index.js:77:11)", "    at main (/app/server.js:31:5)",
		}
	}
	return []string{
		"panic: open local cache: checksum mismatch", "", "goroutine 1 [running]:",
		"main.mustOpen(...)", "\t/src/cache/index.go:77", "main.main()", "\t/src/main.go:31 +0x1d4", "exit status 2",
	}
}

// work is what a service says when all is well: a sample of its requests, or its housekeeping.
func (v *voice) work() {
	switch v.service.language {
	case "redis":
		if v.at.Unix()%300 == 0 {
			v.info("%d changes in 300 seconds. Saving...", 10000+v.r.IntN(9000))
		}
		return
	case "postgres":
		if v.at.Unix()%300 == 0 {
			v.info("checkpoint complete: wrote %d buffers (%.1f%%); write=%.3f s, sync=0.004 s", 200+v.r.IntN(900), 1+4*v.r.Float64(), 20+9*v.r.Float64())
		}
		return
	}
	if v.service.role == batch {
		if v.at.Unix()%7 == 0 {
			v.info("export %d: partition %d of 24 written, %d rows", 4000+v.at.Unix()/600%1000, 1+v.at.Unix()/7%24, 20000+v.r.IntN(9000))
		}
		return
	}
	if v.r.IntN(3) > 0 {
		return
	}
	method := [...]string{"GET", "GET", "GET", "POST"}[v.r.IntN(4)]
	v.info("%s /api/%s/%d 200 %.1fms", method, v.service.name, v.r.IntN(100000), 1000*v.service.latency.Seconds()*(0.5+1.2*v.r.Float64()))
}
