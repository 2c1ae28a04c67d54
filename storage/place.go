package storage

import (
	"context"
	"database/sql"

	"github.com/bukahou/atlhyper/bot"
)

// Places implements bot.Store.
func (d *DB) Places(ctx context.Context, topic string) ([]bot.Place, error) {
	var out []bot.Place
	err := d.query(ctx, "read places", func(rows *sql.Rows) error {
		var p bot.Place
		if err := rows.Scan(&p.Surface, &p.Channel, &p.Thread); err != nil {
			return err
		}
		out = append(out, p)
		return nil
	}, `SELECT surface, channel, thread FROM outbox WHERE topic = ?1
		UNION SELECT surface, channel, '' FROM refs WHERE topic = ?1 AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.topic = ?1 AND o.surface = refs.surface AND o.channel = refs.channel)`, topic)
	return out, err
}
