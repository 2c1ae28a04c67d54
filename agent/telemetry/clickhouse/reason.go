package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// reason says what went wrong as a sentence's end that names the remedy, without an address and without SQL.
func reason(err error) string {
	var e *clickhouse.Exception
	if errors.As(err, &e) {
		switch e.Code {
		case 516, 192, 193, 194:
			return "ClickHouse refuses the user or the password; mend CLICKHOUSE_URL"
		case 497:
			return "the user may not read the tables; grant SELECT on them and on system.columns"
		case 60, 81, 47, 16:
			return "a table or a column is missing; let the collector's ClickHouse exporter make its schema"
		case 164:
			return "the user's profile forbids the limits that a query is given; use readonly = 2 there instead of 1"
		case 159, 160, 209:
			return "ClickHouse did not answer in time"
		case 241:
			return "ClickHouse has no memory left for the query"
		case 243, 1001:
			return "ClickHouse's disk is full"
		case 394:
			return "somebody ended the query"
		case 158, 396, 307:
			return "the query would read too much; narrow it"
		}
		return fmt.Sprintf("ClickHouse answers with error %d", e.Code)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "ClickHouse's certificate is not trusted here; add its authority to the system's, or ?skip_verify=true to CLICKHOUSE_URL"
	}
	switch _, dial := errors.AsType[*net.OpError](err); {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, clickhouse.ErrAcquireConnTimeout):
		return "ClickHouse did not answer in time"
	case dial:
		return "ClickHouse cannot be reached"
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return "ClickHouse did not answer in time"
	}
	return "ClickHouse's answer was not understood"
}
