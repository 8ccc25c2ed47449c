//! Finished requests as spans of OpenTelemetry, made after the answer from times that were measured anyway.
//!
//! A request is one server span `recommend` with the children `receive` (its body), `decode`, `score` and `encode`. It
//! belongs to the caller's trace where a valid `traceparent` says so (W3C Trace Context); the provider's sampler decides
//! whether it is recorded. Reader ids and what readers read never become attributes. Probes are not traced.

use std::time::{Instant, SystemTime};

use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Span, SpanContext, SpanKind, Status, TraceContextExt, TraceState, Tracer, TracerProvider},
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::{
    call::Trace,
    rest::{Ids, arms_text},
};

/// Where finished requests go.
#[derive(Debug, Clone)]
pub struct Spans(SdkTracer);

/// The caller's place in its trace: `version-trace-span-flags` in lower hex, as W3C Trace Context has it.
///
/// `None` for what is not that, for version ff, and for a trace or span of zeros. Versions above 00 may say more.
fn caller(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let mut hex = |digits: usize| {
        let part = parts.next()?;
        let is_hex = part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then_some(part)
    };
    let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE)).filter(SpanContext::is_valid)
}

/// The caller's trace, hex, if a valid header names one.
pub(crate) fn trace_id(traceparent: Option<&str>) -> Option<String> {
    Some(caller(traceparent?)?.trace_id().to_string())
}

impl Spans {
    /// Spans that `provider` samples and exports.
    pub fn over(provider: &SdkTracerProvider) -> Self {
        Self(provider.tracer("bookloop"))
    }

    /// An inference request that ended with `code` at `ended`, which is `now` by the wall clock.
    pub(crate) fn finished(
        &self,
        (ids, trace): (&Ids, &Trace),
        (code, kind): (u16, &'static str),
        (ended, now): (Instant, SystemTime),
    ) {
        let wall = |at: Instant| now - ended.saturating_duration_since(at);
        let mut attributes = vec![
            KeyValue::new("http.response.status_code", i64::from(code)),
            KeyValue::new("bookloop.protocol", trace.protocol.as_str()),
            KeyValue::new("bookloop.arm", arms_text(trace)),
            KeyValue::new("bookloop.readers", trace.parts().map(|(_, _, used)| i64::from(used.readers)).sum::<i64>()),
            KeyValue::new("bookloop.request_id", ids.correlation.clone()),
        ];
        if let Some(service) = &trace.service {
            attributes.push(KeyValue::new("bookloop.tenant", service.tenant.to_string()));
            attributes.push(KeyValue::new("bookloop.model", service.model.to_string()));
        }
        if let Some(((_, arm, _), snapshot)) = trace.parts().next().zip(trace.snapshot.as_ref()) {
            attributes.push(KeyValue::new("bookloop.version", i64::from(snapshot.resident(arm).version.get())));
        }
        if !kind.is_empty() {
            attributes.push(KeyValue::new("error.type", kind));
        }
        let start = self.0.span_builder("recommend").with_kind(SpanKind::Server).with_start_time(wall(ids.arrived));
        let outside = ids.traceparent.as_deref().and_then(caller);
        let outside = outside.map_or_else(Context::new, |caller| Context::new().with_remote_span_context(caller));
        let mut whole = start.with_attributes(attributes).start_with_context(&self.0, &outside);
        if !whole.is_recording() {
            return;
        }
        if code >= 500 {
            whole.set_status(Status::error(kind));
        }
        let inside = Context::new().with_remote_span_context(whole.span_context().clone());
        let scoring = trace
            .scoring
            .map(|(from, to)| [("decode", trace.received, from), ("score", from, to), ("encode", to, ended)]);
        let children = [("receive", ids.arrived, trace.received)].into_iter().chain(scoring.into_iter().flatten());
        for (name, from, to) in children {
            let child = self.0.span_builder(name).with_start_time(wall(from));
            child.start_with_context(&self.0, &inside).end_with_timestamp(wall(to));
        }
        whole.end_with_timestamp(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SpanData};

    use super::*;
    use crate::metrics::Protocol;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// A request of 10 ms: 1 ms to arrive, decoded by 3 ms, scored from there to 8 ms.
    fn told(sampler: Sampler, traceparent: Option<&str>) -> Vec<SpanData> {
        let exporter = InMemorySpanExporter::default();
        let provider =
            SdkTracerProvider::builder().with_sampler(sampler).with_simple_exporter(exporter.clone()).build();
        let arrived = Instant::now();
        let at = |ms: u64| arrived + Duration::from_millis(ms);
        let ids = Ids {
            request: "call-7".into(),
            correlation: "page-1".into(),
            traceparent: traceparent.map(str::to_owned),
            arrived,
        };
        let mut trace = Trace::new(Protocol::V1);
        (trace.received, trace.scoring) = (at(1), Some((at(3), at(8))));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        Spans::over(&provider).finished((&ids, &trace), (200, ""), (at(10), now));
        exporter.get_finished_spans().unwrap()
    }

    #[test]
    fn a_request_is_a_span_of_the_callers_trace_and_its_parts_fill_it() {
        let spans = told(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)), Some(PARENT));
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["receive", "decode", "score", "encode", "recommend"]);
        let whole = &spans[4];
        assert_eq!(whole.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(whole.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert!(spans[..4].iter().all(|span| span.parent_span_id == whole.span_context.span_id()));
        let lengths = spans.iter().map(|span| span.end_time.duration_since(span.start_time).unwrap().as_millis());
        assert_eq!(lengths.collect::<Vec<_>>(), [1, 2, 5, 2, 10]);
        assert_eq!(whole.end_time, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
    }

    #[test]
    fn the_sampler_decides_where_the_caller_has_not() {
        assert_eq!(told(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)), None).len(), 0);
        assert_eq!(told(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)), None).len(), 5);
        let unsampled = PARENT.replace("-01", "-00");
        assert_eq!(told(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)), Some(&unsampled)).len(), 0);
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace_of_its_own() {
        for bad in [
            "",
            "00-4bf9-00f0-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            &format!("{PARENT}-more"),
            &PARENT.to_uppercase(),
            "x",
        ] {
            assert_eq!(trace_id(Some(bad)), None, "{bad}");
            let spans = told(Sampler::AlwaysOn, Some(bad));
            assert_eq!(spans[4].parent_span_id.to_string(), "0000000000000000", "{bad}");
        }
        for good in [PARENT, &format!("01{}-more", &PARENT[2..])] {
            assert_eq!(trace_id(Some(good)).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"), "{good}");
        }
    }
}
