//! The Engine API, as far as the benchmark needs it: JSON in, JSON out, on a connection each.

use dkr::engine::Engine;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::Result;

/// The body of a request.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// The client.
pub struct Api {
    pub engine: Engine,
}

impl Api {
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.json("GET", path, &Value::Null).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json("POST", path, body).await
    }

    /// Deletes something; what is gone already is no error.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let (status, body) = self.send("DELETE", path, "", empty()).await?;
        let text = String::from_utf8_lossy(&body);
        let gone = status < 300 || status == 404;
        gone.then_some(())
            .ok_or(format!("DELETE {path}: {text}").into())
    }

    async fn json(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = match body {
            Value::Null => empty(),
            body => full(body.to_string()),
        };
        let answer = self.bytes(method, path, "application/json", body).await?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    /// The body of a good answer.
    pub async fn bytes(&self, method: &str, path: &str, kind: &str, body: Body) -> Result<Bytes> {
        let (status, answer) = self.send(method, path, kind, body).await?;
        if status >= 300 {
            let text = String::from_utf8_lossy(&answer);
            return Err(format!("{method} {path}: {}", text.trim()).into());
        }
        Ok(answer)
    }

    async fn send(&self, method: &str, path: &str, kind: &str, body: Body) -> Result<(u16, Bytes)> {
        let response = self.open(method, path, kind, body).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// The head of an answer, whose body is still to come.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: Body,
    ) -> Result<Response<Incoming>> {
        let connection = self.engine.dial().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(self.engine.versioned(path))
            .header("Host", "docker")
            .header("Content-Type", kind)
            .body(body)?;
        Ok(sender.send_request(request).await?)
    }
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A query string of these pairs.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    query.finish()
}
