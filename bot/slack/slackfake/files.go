package slackfake

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// upload is a file on its way: asked for, then filled, then shared.
type upload struct {
	file   File
	length int
	filled bool
}

func (s *Server) uploadURL(a args) (map[string]any, *refusal) {
	n, err := strconv.Atoi(a.get("length"))
	if err != nil || n <= 0 || a.get("filename") == "" {
		return nil, &refusal{"invalid_arguments", "filename and length"}
	}
	id := s.idLocked("F")
	s.uploads[id] = &upload{file: File{ID: id, Name: a.get("filename"), Alt: a.get("alt_txt")}, length: n}
	return map[string]any{"upload_url": s.http.URL + "/upload/" + id, "file_id": id}, nil
}

func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	file, _, err := r.FormFile("file")
	if err != nil {
		http.Error(w, "no file", http.StatusBadRequest)
		return
	}
	content, err := io.ReadAll(io.LimitReader(file, maxCall))
	if err != nil {
		http.Error(w, "unreadable file", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[r.PathValue("id")]
	if s.outage || u == nil || len(content) != u.length {
		http.Error(w, "no such upload, or another length than was said", http.StatusBadRequest)
		return
	}
	u.file.Content, u.filled = content, true
}

func (s *Server) completeUpload(a args) (map[string]any, *refusal) {
	var files []struct{ ID, Title string }
	if err := json.Unmarshal([]byte(a.get("files")), &files); err != nil || len(files) == 0 {
		return nil, &refusal{"invalid_arguments", "files"}
	}
	channel, thread := a.get("channel_id"), a.get("thread_ts")
	if refused := s.placeLocked(channel, thread); refused != nil {
		return nil, refused
	}
	m := Message{Channel: channel, Thread: thread, User: BotUser}
	var out []any
	for _, f := range files {
		u := s.uploads[f.ID]
		if u == nil || !u.filled {
			return nil, &refusal{"file_not_found", f.ID}
		}
		u.file.Title = f.Title
		m.Files = append(m.Files, u.file)
		out = append(out, map[string]any{"id": f.ID, "title": f.Title})
		delete(s.uploads, f.ID)
	}
	s.addLocked(m)
	return map[string]any{"files": out}, nil
}
