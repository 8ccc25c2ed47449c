//! Several requests over one connection: one after the other, or written together before anything is read.

use std::time::Duration;

use bytes::Bytes;
use hyper::{
    Request, Uri,
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::carry::{Sent, exchanged, with_causes};
use crate::conform::exchange::{Answer, Reply};

/// Answers of this size end the reading.
const MOST: usize = 16 * 1024 * 1024;

/// Each request after the answer to the one before.
pub(super) async fn in_turn(requests: Vec<Request<Sent>>, base: &Uri, timeout: Duration) -> Vec<Answer> {
    let n = requests.len();
    let talk = async {
        let stream = connect(base).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| with_causes(&error))?;
        let driving = tokio::spawn(connection);
        let mut answers = Vec::with_capacity(n);
        for request in requests {
            let request = of_this_line(request, base);
            answers.push(match sender.ready().await {
                Ok(()) => exchanged(sender.send_request(request).await).await,
                Err(error) => Answer::Broken(format!("the connection was closed: {error}")),
            });
        }
        driving.abort();
        Ok(answers)
    };
    within(talk, n, timeout).await
}

/// All requests, which have no body, and then all answers.
pub(super) async fn pipelined(requests: Vec<Request<Sent>>, base: &Uri, timeout: Duration) -> Vec<Answer> {
    let n = requests.len();
    let talk = async {
        let mut stream = connect(base).await?;
        let mut written = Vec::new();
        for (place, request) in requests.into_iter().enumerate() {
            written.extend(head(&of_this_line(request, base), place + 1 == n));
        }
        stream.write_all(&written).await.map_err(|error| error.to_string())?;
        let mut read = Vec::new();
        stream.take(MOST as u64).read_to_end(&mut read).await.map_err(|error| error.to_string())?;
        let mut answers: Vec<Answer> = split(&read).into_iter().map(Answer::Http).take(n).collect();
        answers.resize_with(n, || Answer::Broken("the connection was closed before this answer".to_owned()));
        Ok(answers)
    };
    within(talk, n, timeout).await
}

async fn within(talk: impl Future<Output = Result<Vec<Answer>, String>>, n: usize, timeout: Duration) -> Vec<Answer> {
    match tokio::time::timeout(timeout, talk).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(reason)) => vec![Answer::Broken(reason); n],
        Err(_) => vec![Answer::Late(format!("nothing within {timeout:?}")); n],
    }
}

async fn connect(base: &Uri) -> Result<TcpStream, String> {
    let host = base.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, base.port_u16().unwrap_or(80))).await;
    stream.map_err(|error| error.to_string())
}

/// As a request is written on a connection of its own: the path alone, and the host beside it.
fn of_this_line(mut request: Request<Sent>, base: &Uri) -> Request<Sent> {
    let host = base.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    request.headers_mut().extend(host.map(|host| (HOST, host)));
    if let Some(path) = request.uri().path_and_query().and_then(|path| path.as_str().parse().ok()) {
        *request.uri_mut() = path;
    }
    request
}

fn head(request: &Request<Sent>, last: bool) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(if last { b"connection: close\r\n\r\n" } else { b"\r\n" });
    head
}

/// The whole answers at the beginning of what was read.
fn split(mut read: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some((reply, rest)) = one(read) {
        replies.push(reply);
        read = rest;
    }
    replies
}

fn one(read: &[u8]) -> Option<(Reply, &[u8])> {
    let end = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = (String::from_utf8_lossy(&read[..end]), &read[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let headers: Vec<_> = lines.filter_map(header).collect();
    let mut reply = Reply { status, headers, body: Bytes::new() };
    let is_chunked = reply.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let (body, rest) = if is_chunked {
        chunks(rest)?
    } else {
        let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let (body, rest) = rest.split_at_checked(length)?;
        (body.to_vec(), rest)
    };
    reply.body = body.into();
    Some((reply, rest))
}

/// A chunked body without trailers, and what follows it.
fn chunks(mut read: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = read.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&read[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let (chunk, rest) = read[end + 2..].split_at_checked(size)?;
        body.extend_from_slice(chunk);
        read = rest.strip_prefix(b"\r\n")?;
        if size == 0 {
            return Some((body, read));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_follow_each_other_are_told_apart() {
        let read = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 404 Not Found\r\n\
                     Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut";
        let replies = split(read);
        let told: Vec<(u16, &[u8])> = replies.iter().map(|reply| (reply.status, &reply.body[..])).collect();
        assert_eq!(told, [(200, b"{}".as_slice()), (404, b"abcd".as_slice())]);
        assert_eq!(replies[0].header("content-length"), Some("2"));
        assert_eq!(split(b"no http"), []);
    }
}
