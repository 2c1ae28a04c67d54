package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/bukahou/atlhyper"

// mayImport says which of our own folders each folder's code may import, with the reason. The longest matching prefix
// counts; a folder may always import what is below itself.
var mayImport = []struct {
	folder string
	allow  []string
	why    string
}{
	{"", []string{"bot", "tools", "engine", "storage", "agent", "deploy/lab"}, "main wires everything"},
	{"bot", []string{"bot", "tools", "engine"}, "the bot renders and delivers; it knows tools and the engine"},
	{"bot/message", []string{"bot/message"}, "what a person is shown knows nothing of anything"},
	{"tools", []string{"tools", "engine", "agent/report"}, "tools ask the engine, whose resources are reports"},
	{"engine", []string{"engine", "agent/report"}, "the core imports no sibling"},
	{"storage", []string{"storage", "engine", "bot"}, "storage implements the stores that engine and bot declare"},
	{"agent", []string{"agent"}, "the agent knows its own packages; main wires it"},
	{"agent/report", nil, "the protocol stands alone"},
	{"agent/kube", []string{"agent/report"}, "a part of the agent knows the protocol only"},
	{"agent/command", []string{"agent/report", "agent/kube"}, "acts on the objects that kube knows"},
	{"agent/uplink", []string{"agent/report", "agent/kube", "agent/uplink"}, "sends what kube keeps"},
	{"agent/concentrator", []string{"agent/report"}, "makes minutes of frames"},
	{"agent/telemetry", []string{"agent/telemetry", "agent/report"}, "sources give frames"},
	{"agent/sim", []string{"agent/sim", "agent/report", "agent/telemetry"}, "the simulator never meets the engine"},
	{"deploy/lab", []string{"deploy/lab"}, "the lab is a test bed of its own"},
}

func TestEachFolderImportsOnlyWhatItsRowAllows(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	checked := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := folderOf(p.ImportPath)
		row := mayImport[0]
		for _, r := range mayImport[1:] {
			if below(from, r.folder) && len(r.folder) >= len(row.folder) {
				row = r
			}
		}
		for _, i := range p.Imports {
			if !strings.HasPrefix(i, module) {
				continue
			}
			checked++
			to := folderOf(i)
			allowed := below(to, from) && from != ""
			for _, a := range row.allow {
				allowed = allowed || below(to, a)
			}
			if !allowed {
				t.Errorf("%s imports %s: %s", p.ImportPath, i, row.why)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d imports were checked: the rule no longer sees the code", checked)
	}
}

func folderOf(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func below(folder, of string) bool { return folder == of || strings.HasPrefix(folder, of+"/") }
