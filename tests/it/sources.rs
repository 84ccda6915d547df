//! What fetches URLs, over real connections, with names that lead wherever the test says.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pixmill::errors::Failure;
use pixmill::net::address::{FORBIDDEN, Networks};
use pixmill::net::{Allowed, Fetcher, Guard, Lookup, Settings};
use url::Url;

use crate::support::origin::{Origin, Reply};

fn settings(allow_private: &[&str]) -> Settings {
    Settings {
        guard: Some(guard(&["*".into()], allow_private)),
        connect_timeout: Duration::from_secs(5),
        read_timeout: None,
        timeout: Duration::from_secs(30),
        max_redirects: 3,
        max_retry_after: Duration::from_mins(10),
        max_bytes: 1_000,
    }
}

fn guard(urls: &[String], allow_private: &[&str]) -> Guard {
    let networks = allow_private.iter().map(|network| network.parse().unwrap()).collect();
    Guard { section: "sources", allowed: Allowed::parse(urls).unwrap(), networks: Networks::new(networks) }
}

fn allowing(port: u16, allow_private: &[&str]) -> Settings {
    let guard = guard(&["*".into(), format!("*:{port}")], allow_private);
    Settings { guard: Some(guard), ..settings(allow_private) }
}

/// Names lead to these addresses, one after the other; counts how often it was asked.
fn leading_to(addresses: Vec<Vec<IpAddr>>) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let lookup: Lookup = Arc::new(move |_| {
        let nth = counter.fetch_add(1, Ordering::SeqCst).min(addresses.len() - 1);
        let found = addresses[nth].clone();
        Box::pin(async move { Ok(found) })
    });
    (lookup, asked)
}

async fn refusal(fetcher: &Fetcher, url: &str) -> Failure {
    match fetcher.get(&Url::parse(url).unwrap()).await {
        Ok(_) => panic!("{url} was fetched"),
        Err(failure) => failure,
    }
}

/// One address of each network that is forbidden.
fn addresses() -> Vec<(IpAddr, &'static str)> {
    let networks = Networks::new(Vec::new());
    let first = |text: &str| text.split('/').next().unwrap().parse().unwrap();
    let addresses = FORBIDDEN.iter().map(|(text, _)| first(text));
    addresses.map(|address| (address, networks.refusal(address).expect("it is forbidden"))).collect()
}

#[tokio::test]
async fn name_that_leads_into_any_forbidden_network_is_refused_before_a_connection() {
    for (address, class) in addresses() {
        let (lookup, asked) = leading_to(vec![vec![address]]);
        let fetcher = Fetcher::with_lookup(settings(&[]), lookup).unwrap();
        let failure = refusal(&fetcher, "http://pictures.example/a.png").await;
        assert_eq!(failure.code, "url-forbidden", "{address}: {failure:?}");
        assert!(failure.detail.contains(&address.to_string()) && failure.detail.contains(class), "{failure:?}");
        assert_eq!((asked.load(Ordering::SeqCst), failure.retryable), (1, false));
    }
}

#[tokio::test]
async fn address_itself_is_refused_however_it_is_written() {
    let (lookup, asked) = leading_to(vec![vec!["127.0.0.1".parse().unwrap()]]);
    let fetcher = Fetcher::with_lookup(settings(&[]), lookup).unwrap();
    let spelt = ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:7f00:1]", "127.0.0.1."];
    let written = addresses().into_iter().map(|(address, _)| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    });
    for host in written.chain(spelt.map(str::to_owned)) {
        let failure = refusal(&fetcher, &format!("http://{host}/a.png")).await;
        assert_eq!(failure.code, "url-forbidden", "{host}: {failure:?}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "an address is no name");
}

#[tokio::test]
async fn redirect_into_any_forbidden_network_is_refused() {
    for (address, class) in addresses() {
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        for to in [format!("http://{host}/latest/meta-data/"), "http://second.example/".to_owned()] {
            let origin = Origin::at("127.0.0.9:0", move |_, _| Reply::redirect(&to)).await;
            // The first name leads to the origin, the next one into the network.
            let (lookup, _) = leading_to(vec![vec!["127.0.0.9".parse().unwrap()], vec![address]]);
            let settings = allowing(origin.port(), &["127.0.0.9/32"]);
            let fetcher = Fetcher::with_lookup(settings, lookup).unwrap();
            let url = format!("http://first.example:{}/", origin.port());
            let failure = refusal(&fetcher, &url).await;
            assert_eq!(failure.code, "url-forbidden", "{address}: {failure:?}");
            assert!(failure.detail.contains(class), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn connection_is_made_to_the_address_that_was_checked() {
    let origin = Origin::start(|_, _| Reply::picture(b"bytes".to_vec())).await;
    let trap = Origin::at(&format!("127.0.0.2:{}", origin.port()), |_, _| Reply::picture(b"secret".to_vec())).await;
    let (first, second) = ("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap());
    // A name that changes between two look-ups, and one with a forbidden address beside a good one.
    let (lookup, asked) = leading_to(vec![vec![second, first], vec![second]]);
    let fetcher = Fetcher::with_lookup(allowing(origin.port(), &["127.0.0.1/32"]), lookup).unwrap();
    let url = format!("http://rebinds.example:{}/", origin.port());
    let mut answer = fetcher.get(&Url::parse(&url).unwrap()).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "bytes");
    assert_eq!((asked.load(Ordering::SeqCst), origin.heads().len()), (1, 1));
    assert_eq!(refusal(&fetcher, &url).await.code, "url-forbidden");
    assert_eq!(trap.heads().len(), 0);
}

#[tokio::test]
async fn request_tells_nothing_and_the_environments_proxy_is_not_asked() {
    let origin = Origin::start(|_, _| Reply::picture(b"bytes".to_vec())).await;
    let (lookup, _) = leading_to(vec![vec!["127.0.0.1".parse().unwrap()]]);
    let fetcher = Fetcher::with_lookup(allowing(origin.port(), &["127.0.0.1/32"]), lookup).unwrap();
    let url = format!("http://name.example:{}/a%20b.png?size=1#part", origin.port());
    fetcher.get(&Url::parse(&url).unwrap()).await.map(drop).unwrap();
    let head = origin.heads().remove(0).to_lowercase();
    assert!(head.starts_with("get /a%20b.png?size=1 http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: name.example:{}", origin.port())) && head.contains("user-agent: pixmill/"));
    for secret in ["cookie", "referer", "authorization"] {
        assert!(!head.contains(secret), "{head}");
    }
}

#[tokio::test]
async fn answers_that_have_no_picture_have_their_codes() {
    let origin = Origin::start(|path, _| match path {
        "/loop" => Reply::redirect("/loop"),
        "/nowhere" => Reply::Whole(302, Vec::new(), Vec::new()),
        "/file" => Reply::redirect("file:///etc/passwd"),
        "/key" => Reply::redirect("http://user:word@127.0.0.1/"),
        "/announced" => Reply::Cut(1_001, Vec::new()),
        "/endless" => Reply::Endless,
        "/cut" => Reply::Cut(900, b"some".to_vec()),
        "/packed" => Reply::Whole(200, vec!["Content-Encoding: gzip".into()], b"\x1f\x8b".to_vec()),
        "/as-it-is" => Reply::Whole(200, vec!["Content-Encoding: identity".into()], b"bytes".to_vec()),
        // A path that the allow-list holds against its patterns anew.
        "/out" => Reply::redirect("/below/..%2fsecret"),
        other => Reply::status(other[1..].parse().unwrap()),
    })
    .await;
    let fetcher = Fetcher::new(allowing(origin.port(), &["127.0.0.1/32"])).unwrap();
    for (path, code, retryable) in [
        ("/loop", "fetch-refused", false),
        ("/nowhere", "fetch-refused", false),
        ("/file", "url-forbidden", false),
        ("/key", "url-forbidden", false),
        ("/404", "fetch-refused", false),
        ("/401", "fetch-refused", false),
        ("/204", "fetch-refused", false),
        ("/206", "fetch-refused", false),
        ("/500", "fetch-failed", true),
        ("/503", "fetch-failed", true),
        ("/429", "fetch-failed", true),
        ("/408", "fetch-failed", true),
        ("/announced", "too-large", false),
        ("/endless", "too-large", false),
        ("/cut", "fetch-failed", true),
        ("/packed", "fetch-refused", false),
    ] {
        let read = async {
            let mut answer = fetcher.get(&Url::parse(&origin.url(path)).unwrap()).await?;
            while answer.chunk().await?.is_some() {}
            Ok::<_, Failure>(())
        };
        let failure = read.await.expect_err(path);
        assert_eq!((failure.code.as_ref(), failure.retryable), (code, retryable), "{path}: {failure:?}");
    }
    let packed = refusal(&fetcher, &origin.url("/packed")).await;
    assert!(packed.detail.contains("Content-Encoding: gzip"), "{packed:?}");
    let mut whole = fetcher.get(&Url::parse(&origin.url("/as-it-is")).unwrap()).await.unwrap();
    assert_eq!(whole.chunk().await.unwrap().unwrap(), "bytes");
    let below = ["/out", "/below/"].map(|path| format!("http://127.0.0.1:{}{path}", origin.port()));
    let guard = Some(guard(&below, &["127.0.0.1/32"]));
    let narrow = Fetcher::new(Settings { guard, ..settings(&[]) }).unwrap();
    let led_out = refusal(&narrow, &origin.url("/out")).await;
    assert_eq!(led_out.code, "url-forbidden", "{led_out:?}");
    assert!(led_out.detail.contains("`%2f`"), "{led_out:?}");
    assert_eq!(
        origin.heads().iter().filter(|head| head.starts_with("GET /loop ")).count(),
        4,
        "one and three redirects"
    );
    drop(origin);
    let nobody = refusal(&fetcher, "http://127.0.0.1:9/").await;
    assert_eq!(nobody.code, "url-forbidden", "a port that is not allowed");
}
