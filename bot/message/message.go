// Package message is what a person is shown, with nothing of any surface in it. Slack, Discord and the terminal
// each render it within their own limits. All strings are plain text unless a type says otherwise: a surface
// escapes them, so that a pod named like markup stays a name.
package message

// Tone is the state that a message shows. It is always rendered as a mark and a word, never as colour alone.
type Tone int

// The tones, with the mark that each surface shows.
const (
	Plain      Tone = iota
	Alert           // 🟡
	Warning         // 🟠
	Incident        // 🔴
	Recovering      // 🔵
	Resolved        // 🟢
	Unknown         // ⚪
	Done            // ✅
	Failed          // ❌
	Proposal        // 📝
)

// Mark gives the tone's symbol, empty for Plain and for what is no tone.
func (t Tone) Mark() string {
	if t < Plain || t > Proposal {
		return ""
	}
	return [...]string{"", "🟡", "🟠", "🔴", "🔵", "🟢", "⚪", "✅", "❌", "📝"}[t]
}

// Message is one chat message. Its first line is Title, beside it Context.
type Message struct {
	Tone    Tone
	Title   string // answers; one line
	Context string // small, beside or under the title: "INC-214 · Incident · 6 min"
	Blocks  []Block
	Lang    string // of what a surface adds, such as "+3 more"; "" is English
	Footer  string // small print: age of the figures, "Answering without the model."
	// Private is for the asking person alone, where the surface can do that.
	Private bool
	// Gist names the state that the message tells of and is never shown. A surface that cannot edit prints an edit again
	// only when the gist differs: figures move all the time. Without one, everything but Context counts.
	Gist string
	// Mention names people of the platform that the message goes to, by its ids. They are pinged where it can do that.
	Mention []string
}

// Block is one of Paragraph, Markdown, Facts, Table, Code, List, Image, File, Actions and Select.
type Block interface{ block() }

// Paragraph is plain text; Heading, if set, stands above it in bold.
type Paragraph struct{ Heading, Text string }

// Markdown is text that a model wrote, in CommonMark. Surfaces render a safe subset: no images, no raw HTML, and
// links show their address.
type Markdown struct{ Text string }

// Fact is a label with its value, both plain text.
type Fact struct{ Label, Value string }

// Facts is a short list of labelled values, rendered in two columns where there is room.
type Facts struct {
	Heading string
	Facts   []Fact
}

// Table has a header and rows of as many cells. More is how many further rows exist and are not shown.
type Table struct {
	Heading string
	Columns []string
	Rows    [][]string
	More    int
}

// Code is monospaced text as it came: logs, YAML, a diff. Truncated says that the middle or the start was cut.
type Code struct {
	Heading   string
	Text      string
	Truncated bool
}

// List is bullet points; More as in Table.
type List struct {
	Heading string
	Items   []string
	More    int
}

// Image is a PNG; Alt holds the same figures as text. Spark, if set, is the course in one line of blocks, for a surface
// that shows no pictures.
type Image struct {
	Name  string
	PNG   []byte
	Alt   string
	Spark string
}

// File is a document to keep. A surface that takes files attaches it; another shows its text.
type File struct {
	Name string // with its ending
	Text string
}

// Actions is a row of at most four buttons.
type Actions struct{ Buttons []Button }

// Select is a list of which one is chosen, where the ways to go on are more than buttons. Each option does what a button
// would; its Style is not shown.
type Select struct {
	Placeholder string // stands in the list until something is chosen
	Options     []Button
}

// Style says how a button stands out.
type Style int

// The styles. A surface without colours shows none.
const (
	Default Style = iota
	Primary
	Danger
)

// Button names an action of the conversation and the opaque id that it acts on. Neither is ever built from model
// text. Action and Subject together are at most 90 bytes, so that they fit Discord's custom_id with a separator.
type Button struct {
	Label   string // says what happens: "Roll back to v2.3.1"
	Action  string // "incident.explain", "proposal.approve", "choice"
	Subject string // "INC-214", a proposal's id, a stored choice's id
	Style   Style
	// URL, if set, is what it opens instead of doing anything: an address of ours, never one that a cluster or a model gave.
	// Action and Subject are empty then.
	URL string `json:",omitempty"`
}

func (Paragraph) block() {}
func (Markdown) block()  {}
func (Facts) block()     {}
func (Table) block()     {}
func (Code) block()      {}
func (List) block()      {}
func (Image) block()     {}
func (File) block()      {}
func (Actions) block()   {}
func (Select) block()    {}
