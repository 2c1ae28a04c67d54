package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// startTracing sends traces of the program itself where OpenTelemetry's own variables say, and nowhere without them. What
// is returned flushes and ends it. No span carries a question, an answer or a log line: names, counts and durations only.
func startTracing(ctx context.Context, part string, log *slog.Logger) (func(), error) {
	endpoint := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") + os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	if endpoint == "" || os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return func() {}, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("%s is %q: traces are sent as http/protobuf, which a collector takes at port 4318; set that, or OTEL_TRACES_EXPORTER=none", name, p)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up traces of AtlHyper itself: %w; check OTEL_EXPORTER_OTLP_ENDPOINT", err)
	}
	of, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "atlhyper-"+part), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("set up traces of AtlHyper itself: %w; check OTEL_RESOURCE_ATTRIBUTES", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(of))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces of AtlHyper itself are not sent", "err", err) }))
	return func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := provider.Shutdown(last); err != nil {
			log.Warn("the last traces of AtlHyper itself are lost", "err", err)
		}
	}, nil
}

// traced makes a span of each call of our protocols. Nothing else: the page's addresses hold links that let in, and a
// stream lasts as long as the process.
func traced(h http.Handler) http.Handler {
	return otelhttp.NewHandler(h, "", otelhttp.WithSpanNameFormatter(nameOfCall), otelhttp.WithFilter(isCall))
}

// tracing makes a span of each call that goes out, and lets the other end go on with it.
func tracing(next http.RoundTripper) *http.Client {
	return &http.Client{Transport: otelhttp.NewTransport(next, otelhttp.WithSpanNameFormatter(nameOfCall), otelhttp.WithFilter(isCall))}
}

func nameOfCall(_ string, r *http.Request) string {
	return strings.TrimPrefix(r.URL.Path, "/atlhyper.")
}

func isCall(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/atlhyper.") && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/connect+")
}
