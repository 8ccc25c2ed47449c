//! How long a connection may be silent: five seconds inside a request's head, much longer between requests.
//!
//! Hyper has one timer for both, so this wrapper around the socket keeps two, told by the service when a request begins
//! and ends. HTTP/2 connections send frames of their own between requests; for them only the longer one holds.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

/// The two limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
}

/// What the service tells the socket.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    requests: AtomicUsize,
    is_http2: AtomicBool,
}

impl Activity {
    /// A request's head is complete; it lasts until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, version: axum::http::Version) -> Busy {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let is_http2 = version == axum::http::Version::HTTP_2;
        self.is_http2.store(is_http2, Ordering::SeqCst);
        Busy { activity: Arc::clone(self), is_http2 }
    }
}

/// A request being answered.
pub(crate) struct Busy {
    activity: Arc<Activity>,
    is_http2: bool,
}

impl Busy {
    /// Lasts until the body is sent where the connection may carry other requests meanwhile: an answer that comes bit by
    /// bit, such as a health watch, is one request to its end.
    pub(crate) fn until_sent(self, body: Body) -> Held {
        let busy = self.is_http2.then_some(self);
        Held { body, _busy: busy }
    }
}

/// A body during which its request lasts.
pub(crate) struct Held {
    body: Body,
    _busy: Option<Busy>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.requests.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the socket is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Request,
    RestOfHead,
    Answer,
}

/// A socket that gives up on silence.
#[derive(Debug)]
pub(crate) struct Patient {
    stream: TcpStream,
    activity: Arc<Activity>,
    patience: Patience,
    waiting: Waiting,
    timer: Pin<Box<Sleep>>,
}

impl Patient {
    pub(crate) fn new(stream: TcpStream, patience: Patience) -> (Self, Arc<Activity>) {
        let activity = Arc::new(Activity::default());
        let timer = Box::pin(tokio::time::sleep(patience.idle));
        (Self { stream, activity: Arc::clone(&activity), patience, waiting: Waiting::Request, timer }, activity)
    }

    fn wait_for(&mut self, waiting: Waiting) {
        if self.waiting == waiting {
            return;
        }
        self.waiting = waiting;
        let limit = if waiting == Waiting::RestOfHead { self.patience.head } else { self.patience.idle };
        self.timer.as_mut().reset(Instant::now() + limit);
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let arrived = buf.filled().len() > before;
        let busy = self.activity.requests.load(Ordering::SeqCst) > 0;
        let head = arrived && !self.activity.is_http2.load(Ordering::SeqCst);
        match self.waiting {
            _ if busy => self.wait_for(Waiting::Answer),
            Waiting::Answer => self.wait_for(if head { Waiting::RestOfHead } else { Waiting::Request }),
            Waiting::Request if head => self.wait_for(Waiting::RestOfHead),
            Waiting::Request | Waiting::RestOfHead => {}
        }
        if read.is_pending() && !busy && self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing arrived in time")));
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
