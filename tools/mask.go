package tools

import (
	"regexp"
	"slices"
	"strings"
)

const masked = "<masked>"

// credential is a text that is secret whatever stands around it. What a group matches is kept. Every match holds one of needs, by
// which most texts are passed over without looking further: each cell of each answer comes by here.
type credential struct {
	re    *regexp.Regexp
	needs []string
}

var credentials = []credential{
	{regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`), []string{"PRIVATE KEY"}},
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`), []string{"eyJ"}},        // JSON Web Token
	{regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`), []string{"AKIA", "ASIA"}},                           // AWS access key id
	{regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})`), []string{"gh"}},     // GitHub
	{regexp.MustCompile(`\bxox[abprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}`), []string{"xox", "xapp-"}}, // Slack
	{regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}`), []string{"AIza"}},                                         // Google API key
	{regexp.MustCompile(`\bsk-[A-Za-z0-9_-]{20,}`), []string{"sk-"}},                                          // OpenAI
	{regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@`), []string{"://"}},                  // password in a URL
	{regexp.MustCompile(`(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|credentials?)["']?\s*=\s*["']?|["'][a-z0-9_-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key)["']\s*:\s*["'])[^\s"'&,;)}]+`), []string{"=", `"`, "'"}},
}

// spoken is a credential named in prose, "token: abc123" or "Bearer abc123": "token: expired" must stay readable, so
// that only what looks drawn by lot counts.
var spoken = regexp.MustCompile(`(?i)\b((?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key)\s*:\s*|(?:bearer|basic)\s+)([^\s"'&,;]{6,})`)

// Mask replaces what looks like a credential in text that a cluster gave. Agents mask what they know to be a value; a
// log line may hold anything.
func Mask(s string) string {
	if !strings.ContainsAny(s, "=:-_ ") {
		return s
	}
	for _, c := range credentials {
		if !slices.ContainsFunc(c.needs, func(n string) bool { return strings.Contains(s, n) }) {
			continue
		}
		re := c.re
		switch re.NumSubexp() {
		case 0:
			s = re.ReplaceAllString(s, masked)
		default:
			s = re.ReplaceAllStringFunc(s, func(hit string) string {
				kept := re.FindStringSubmatch(hit)[1]
				if strings.HasSuffix(hit, "@") { // the URL's host follows
					return kept + ":" + masked + "@"
				}
				return kept + masked
			})
		}
	}
	if lower := strings.ToLower(s); !strings.Contains(lower, ":") && !strings.Contains(lower, "bearer") && !strings.Contains(lower, "basic") {
		return s
	}
	return spoken.ReplaceAllStringFunc(s, func(hit string) string {
		m := spoken.FindStringSubmatch(hit)
		if len(m[2]) >= 20 || strings.ContainsAny(m[2], "0123456789") {
			return m[1] + masked
		}
		return hit
	})
}
