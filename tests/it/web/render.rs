//! Pages rendered by a real Chromium against a web on loopback: what their scripts do comes out, and nothing else gets out.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::net::UdpSocket;
use std::time::Duration;

use gleaner::web::fetch;
use gleaner::web::fetch::{Client, FetchError};
use gleaner::web::render::{Config, End, RenderError, Rendered, Renderer};
use tokio::sync::MutexGuard;
use url::Url;

use crate::support::browser::{alone, browser, render_config};
use crate::support::site::{Answer, Site};
use crate::support::wait::wait_until;

/// A browser, and the client that fetches for it.
struct Rig {
    site: Site,
    client: Client,
    renderer: Renderer,
    _alone: MutexGuard<'static, ()>,
}

impl Rig {
    /// `None` where there is no browser.
    async fn start(
        change: impl FnOnce(&mut Config),
        reach: impl FnOnce(&mut fetch::Config),
    ) -> Option<Self> {
        let mut config = render_config()?;
        change(&mut config);
        let alone = alone().await;
        let site = Site::start().await;
        let mut fetching = fetch::Config {
            proxy_hosts_to: Some(site.address),
            allow_networks: Vec::new(),
            ..fetch::Config::for_tests()
        };
        reach(&mut fetching);
        let client = Client::new(fetching).unwrap();
        let renderer = Renderer::new(config, client.clone()).unwrap();
        Some(Self {
            site,
            client,
            renderer,
            _alone: alone,
        })
    }

    async fn render(&self, url: &str) -> Result<Rendered, RenderError> {
        let tab = self.renderer.tab().await?;
        let response = self.client.get(&Url::parse(url).unwrap()).await.unwrap();
        tab.render(response).await
    }

    /// A page with nothing but this script, rendered.
    async fn run(&self, script: &str) -> Result<Rendered, RenderError> {
        let page = format!("<html><body><p id=out></p><script>{script}</script></body></html>");
        self.site.put("shop-example.no/page", Answer::html(&page));
        self.render("http://shop-example.no/page").await
    }
}

fn contains(rendered: &Rendered, text: &str) -> bool {
    rendered.html.contains(text)
}

/// What scripts load and ask for is there; it is fetched by us, and nothing outlives the page.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_run_and_what_they_ask_for_is_fetched_by_us() {
    let Some(rig) = Rig::start(|_| (), |_| ()).await else {
        return;
    };
    let site = &rig.site;
    site.put(
        "shop-example.no/kettle",
        Answer::html(
            "<html><body><img src=/kettle.png><iframe src=/frame></iframe><p id=price></p><p id=seen></p>
             <script src=/app.js></script></body></html>",
        )
        .with("set-cookie", "basket=7")
        .with("x-shop", "yes"),
    );
    site.put(
        "shop-example.no/app.js",
        Answer::redirect("https://cdn-example.com/v2/app.js"),
    );
    site.put(
        "cdn-example.com/v2/app.js",
        Answer::of(
            "text/javascript",
            "alert('hello');
             seen.textContent = document.cookie + '|' + navigator.userAgent + '|' + location.href;
             (async () => {
                 const asked = await fetch('https://api-example.com/price?id=1', {
                     method: 'POST', headers: {'X-Key': 'k'}, body: JSON.stringify({sku: 'æ'}) });
                 const own = await (await fetch('/stock')).json();
                 price.textContent = (await asked.json()).price + ' NOK, ' + own.stock;
             })();",
        ),
    );
    site.put(
        "api-example.com/price",
        Answer::json(r#"{"price": "1299.00"}"#).with("access-control-allow-origin", "*"),
    );
    site.put("shop-example.no/stock", Answer::json(r#"{"stock": 3}"#));

    let rendered = rig.render("https://shop-example.no/kettle").await.unwrap();
    assert!(contains(&rendered, "1299.00 NOK, 3"), "{}", rendered.html);
    assert!(
        contains(
            &rendered,
            "basket=7|GleanerTest/0.1 (+https://gleaner.example/bot)|https://shop-example.no/kettle"
        ),
        "{}",
        rendered.html
    );
    assert_eq!(rendered.response.status, 200);
    assert_eq!(rendered.response.headers["x-shop"], "yes");
    // One request each, by our name; the page's own cookie, and the script's own headers and body.
    for (place, count) in [
        ("shop-example.no/kettle", 1),
        ("cdn-example.com/", 1),
        ("shop-example.no/stock", 1),
        ("shop-example.no/frame", 0),
    ] {
        let hits = site.hits(place);
        assert_eq!(hits.len(), count, "{place}");
        assert!(hits.iter().all(|hit| {
            hit.headers["user-agent"]
                .to_str()
                .unwrap()
                .starts_with("GleanerTest/")
        }));
    }
    assert!(site.hits("shop-example.no/kettle.png").is_empty());
    assert_eq!(
        site.hits("shop-example.no/stock")[0].headers["cookie"],
        "basket=7"
    );
    let posted = &site.hits("api-example.com/price?id=1")[0];
    assert_eq!(posted.body, r#"{"sku":"æ"}"#);
    assert_eq!(posted.headers["x-key"], "k");

    let next = rig
        .run("out.textContent = 'cookies: ' + document.cookie + '.'")
        .await
        .unwrap();
    assert!(contains(&next, "cookies: ."), "{}", next.html);
    rig.renderer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_script_takes_its_time_and_no_more() {
    let Some(rig) = Rig::start(
        |config| {
            config.wait = Duration::from_millis(500);
            config.timeout = Duration::from_secs(10);
        },
        |_| (),
    )
    .await
    else {
        return;
    };
    let error = rig.run("for (;;) {}").await.unwrap_err();
    assert!(matches!(error, RenderError::Timeout { .. }), "{error}");
    // The browser goes on, without that page.
    let before = browser().unwrap();
    let next = rig.run("out.textContent = 'quick'").await.unwrap();
    assert!(contains(&next, "quick"));
    assert_eq!(browser(), Some(before));
    rig.renderer.close().await;
}

/// Whatever a page tries, it reaches nothing that Gleaner would not fetch: not by request, not past our client.
#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_out_of_reach() {
    let Some(rig) = Rig::start(|_| (), |_| ()).await else {
        return;
    };
    // Connections to it are never accepted: what is waiting there at the end was let through.
    let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let stun = UdpSocket::bind("127.0.0.1:0").unwrap();
    stun.set_nonblocking(true).unwrap();
    let (tcp, udp) = (inside.local_addr().unwrap(), stun.local_addr().unwrap());
    let script = format!(
        "const done = [];
         const note = (name) => {{ done.push(name); out.textContent = done.sort().join(); }};
         const script = (url, name) => {{
             const tag = document.createElement('script');
             tag.src = url; tag.onerror = () => note(name); tag.onload = () => note('REACHED ' + name);
             document.body.append(tag);
         }};
         script('http://10.0.0.1/x.js', 'private');
         script('http://{tcp}/x.js', 'loopback');
         script('http://localhost:{port}/x.js', 'name');
         script('http://[::ffff:127.0.0.1]:{port}/x.js', 'mapped');
         fetch('http://{tcp}/').catch(() => note('fetch'));
         new Image().src = 'http://{tcp}/x.png';
         navigator.sendBeacon('http://{tcp}/', 'x');
         document.head.insertAdjacentHTML('beforeend',
             '<link rel=preconnect href=\"http://{tcp}/\"><link rel=prefetch href=\"http://{tcp}/p\">');
         document.body.insertAdjacentHTML('beforeend', '<iframe src=\"http://{tcp}/\"></iframe>');
         new WebSocket('ws://{tcp}/').onerror = () => note('socket');
         window.open('http://{tcp}/');
         const code = \"fetch('http://{tcp}/').catch(() => postMessage('worker'))\";
         const worker = new Worker(URL.createObjectURL(new Blob([code])));
         worker.onmessage = (event) => note(event.data);
         const peer = new RTCPeerConnection({{ iceServers: [{{ urls: 'stun:{udp}' }}] }});
         peer.createDataChannel('x');
         peer.createOffer().then((offer) => peer.setLocalDescription(offer));
         // Not at rest before all of them have failed.
         (async () => {{
             while (done.length < 7) {{
                 await fetch('/tick').catch(() => 0);
                 await new Promise((later) => setTimeout(later, 100));
             }}
         }})();",
        port = tcp.port(),
    );
    let rendered = rig.run(&script).await.unwrap();
    assert!(
        contains(
            &rendered,
            ">fetch,loopback,mapped,name,private,socket,worker<"
        ),
        "{}",
        rendered.html
    );
    // Nobody is in the browser any more when this returns.
    rig.renderer.close().await;
    let knocked = inside.accept().map(|(_, from)| from);
    assert!(knocked.is_err(), "{knocked:?} got through");
    let mut datagram = [0; 64];
    assert!(stun.recv_from(&mut datagram).is_err(), "STUN got through");
}

/// A script that leads on leads to a page as any other: the guard, robots.txt, and the end of its chain.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_script_leads_is_asked_as_any_page() {
    let Some(rig) = Rig::start(|_| (), |fetching| fetching.robots = true).await else {
        return;
    };
    rig.site.put(
        "shop-example.no/robots.txt",
        Answer::of("text/plain", "User-agent: *\nDisallow: /private\n"),
    );
    for (to, class) in [
        ("http://10.0.0.1/", "blocked"),
        ("http://169.254.169.254/latest/meta-data/", "blocked"),
        ("/private", "robots_disallowed"),
        ("/missing", "status_4xx"),
        ("/page", "too_many_redirects"),
    ] {
        let error = rig
            .run(&format!("location.href = '{to}'"))
            .await
            .unwrap_err();
        let RenderError::Fetch(error) = error else {
            panic!("{to}: {error}");
        };
        assert_eq!(error.class(), class, "{to}: {error:?}");
        assert!(!matches!(error, FetchError::Timeout { .. }));
    }
    assert!(rig.site.hits("shop-example.no/private").is_empty());

    rig.site
        .put("shop-example.no/old", Answer::redirect("/new?x=1"));
    rig.site.put(
        "shop-example.no/new",
        Answer::html("<p>arrived</p>").with("x-last", "yes"),
    );
    let rendered = rig.run("location.href = '/old'").await.unwrap();
    assert!(contains(&rendered, "arrived"), "{}", rendered.html);
    assert_eq!(
        rendered.response.url.as_str(),
        "http://shop-example.no/new?x=1"
    );
    assert_eq!(rendered.response.headers["x-last"], "yes");
    rig.renderer.close().await;
}

/// Loopback is in reach where the configuration says so, and then by our client as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_network_is_in_reach() {
    let allow = |fetching: &mut fetch::Config| {
        fetching.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let Some(rig) = Rig::start(|_| (), allow).await else {
        return;
    };
    let address = rig.site.address;
    rig.site.put(
        &format!("{address}/x.js"),
        Answer::of("text/javascript", "out.textContent = 'from loopback'"),
    );
    let script = format!(
        "const tag = document.createElement('script'); tag.src = 'http://{address}/x.js'; document.body.append(tag);"
    );
    let rendered = rig.run(&script).await.unwrap();
    assert!(contains(&rendered, "from loopback"), "{}", rendered.html);
    rig.renderer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_its_share_of_requests_and_bytes() {
    let Some(rig) = Rig::start(
        |config| {
            config.max_requests = 2;
            config.max_bytes = 3_000;
            config.max_html_bytes = 4_096;
        },
        |_| (),
    )
    .await
    else {
        return;
    };
    rig.site.fallback(
        "shop-example.no",
        Answer::of("text/plain", vec![b'x'; 2_000]),
    );
    let ask = "(async () => { const got = [];
        for (const path of ['/1', '/2', '/3']) {
            try { got.push((await (await fetch(path)).text()).length) } catch { got.push('refused') }
        }
        out.textContent = got.join(' ') })()";
    let rendered = rig.run(ask).await.unwrap();
    // The second goes beyond the bytes, the third beyond the number.
    assert!(
        contains(&rendered, "2000 refused refused"),
        "{}",
        rendered.html
    );
    assert!(rig.site.hits("shop-example.no/3").is_empty());

    let error = rig
        .run("out.textContent = 'x'.repeat(5000)")
        .await
        .unwrap_err();
    assert!(
        matches!(error, RenderError::TooLarge { limit_bytes: 4_096 }),
        "{error}"
    );
    rig.renderer.close().await;
}

/// A browser that grows beyond its memory is ended, not waited for; the next page has another.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_takes_too_much_memory_is_replaced() {
    let Some(rig) = Rig::start(|config| config.memory = 700 << 20, |_| ()).await else {
        return;
    };
    let greedy = "const kept = [];
        for (let i = 0; i < 60; i++) {
            kept.push(new Uint8Array(16 << 20).fill(1));
            for (const start = Date.now(); Date.now() - start < 50;) {}
        }
        for (;;) {}";
    let error = rig.run(greedy).await.unwrap_err();
    assert!(matches!(error, RenderError::Ended(End::Memory)), "{error}");
    let next = rig.run("out.textContent = 'modest'").await.unwrap();
    assert!(contains(&next, "modest"));
    rig.renderer.close().await;
}

/// Killed in the middle of a page, crashed, worn, changed, idle, closed: each time nothing is left, and there is another.
#[tokio::test(flavor = "multi_thread")]
async fn browsers_come_and_go_and_leave_nothing() {
    let Some(rig) = Rig::start(|config| config.timeout = Duration::from_secs(60), |_| ()).await
    else {
        return;
    };
    assert_eq!(browser(), None, "none before the first page");
    let killing = async {
        wait_until("there is a browser", async || browser().is_some()).await;
        wait_until("it has the page", async || {
            !rig.site.hits("shop-example.no/begun").is_empty()
        })
        .await;
        let first = browser().unwrap();
        first.kill();
        first
    };
    let endless = "fetch('/begun').then(() => {}); setTimeout(() => { for (;;) {} }, 100);
        const tag = document.createElement('script'); tag.src = '/begun'; document.body.append(tag)";
    let (error, first) = tokio::join!(rig.run(endless), killing);
    let error = error.unwrap_err();
    assert!(matches!(error, RenderError::Ended(End::Crashed)), "{error}");
    first.wait_nothing_left().await;

    rig.run("").await.unwrap();
    let second = browser().unwrap();
    assert_ne!(first, second);

    let mut config = render_config().unwrap();
    config.pages_per_browser = std::num::NonZeroU32::MIN;
    rig.renderer.reconfigure(config.clone());
    rig.run("").await.unwrap();
    let third = browser().unwrap();
    assert_ne!(second, third, "its settings have changed");
    rig.run("").await.unwrap();
    let fourth = browser().unwrap();
    assert_ne!(third, fourth, "it had its one page");

    config.idle = Duration::from_millis(100);
    rig.renderer.reconfigure(config);
    rig.run("").await.unwrap();
    wait_until("it is closed", async || browser().is_none()).await;

    rig.run("").await.unwrap();
    rig.renderer.close().await;
    assert_eq!(browser(), None);
    for seen in [second, third, fourth] {
        seen.wait_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tab_or_a_browser_it_is_said() {
    let Some(rig) = Rig::start(
        |config| {
            config.timeout = Duration::from_millis(200);
            config.wait = Duration::from_millis(100);
            config.max_pages = std::num::NonZeroUsize::MIN;
        },
        |_| (),
    )
    .await
    else {
        return;
    };
    let held = rig.renderer.tab().await.unwrap();
    let refused = rig.renderer.tab().await;
    assert!(matches!(refused.err(), Some(RenderError::Busy { .. })));
    drop(held);
    assert!(rig.renderer.tab().await.is_ok());

    let mut config = render_config().unwrap();
    config.program = "no-such-browser".to_owned();
    let error = Renderer::new(config.clone(), rig.client.clone())
        .err()
        .unwrap();
    assert!(error.to_string().contains("\"no-such-browser\""), "{error}");

    // It does not start: what it said is in the error, and nothing is left of it.
    config.program = "/bin/false".to_owned();
    config.timeout = Duration::from_secs(30);
    rig.renderer.reconfigure(config.clone());
    rig.site.put("shop-example.no/page", Answer::html("x"));
    let error = rig.render("http://shop-example.no/page").await.unwrap_err();
    assert!(matches!(error, RenderError::Start { .. }), "{error}");

    config.enabled = false;
    rig.renderer.reconfigure(config);
    assert!(matches!(
        rig.renderer.tab().await.err(),
        Some(RenderError::Off)
    ));
    assert_eq!(browser(), None);
}
