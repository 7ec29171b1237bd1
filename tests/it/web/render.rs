//! Pages rendered by a real Chromium against a web on loopback: what their scripts do comes out, and nothing else gets out.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::net::UdpSocket;
use std::time::Duration;

use gleaner::web::fetch;
use gleaner::web::fetch::{Client, FetchError};
use gleaner::web::render::{Allowance, Config, End, RenderError, Rendered, Renderer};
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
    allowance: Allowance,
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
            allowance: Allowance::default(),
            _alone: alone,
        })
    }

    async fn render(&self, url: &str) -> Result<Rendered, RenderError> {
        let tab = self.renderer.tab().await?.allowing(self.allowance.clone());
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
    let Some(mut rig) = Rig::start(|_| (), |_| ()).await else {
        return;
    };
    rig.allowance = Allowance {
        post: true,
        hosts: vec!["api-example.com".to_owned()],
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
                     method: 'POST', headers: {'X-Api-Key': 'k', 'X-Forwarded-For': '9.9.9.9'}, body: JSON.stringify({sku: 'æ'}) });
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
    assert_eq!(posted.headers["x-api-key"], "k");
    assert!(
        posted.headers.get("x-forwarded-for").is_none(),
        "{posted:?}"
    );

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

/// Whatever a page tries, nobody but its shop is asked for anything that pages are not built of; robots.txt of those others is not
/// asked for either.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_no_relay() {
    let Some(mut rig) = Rig::start(
        |config| config.wait = Duration::from_secs(6),
        |fetching| fetching.robots = true,
    )
    .await
    else {
        return;
    };
    // Leave to POST is leave to POST to the shop.
    rig.allowance.post = true;
    rig.site.fallback(
        "third-example.com",
        Answer::json("{}").with("access-control-allow-origin", "*"),
    );
    rig.site.fallback("shop-example.no", Answer::json("{}"));
    rig.site.put(
        "shop-example.no/sw.js",
        Answer::of(
            "text/javascript",
            "fetch('https://third-example.com/login?sw')",
        ),
    );
    rig.site.put(
        "shop-example.no/worker.js",
        Answer::of(
            "text/javascript",
            "fetch('https://third-example.com/login?worker', {method: 'POST', body: 'x'})",
        ),
    );
    let script = r#"
        const third = 'https://third-example.com/login';
        const asked = [];
        for (let i = 0; i < 200; i++) {
            asked.push(fetch(third, { method: 'POST', body: 'user=root&password=' + i, credentials: 'include',
                headers: { 'Authorization': 'Basic cm9vdDpy', 'X-Forwarded-For': '9.9.9.' + i } }));
        }
        for (const mode of ['cors', 'no-cors']) for (const keepalive of [true, false]) for (const method of ['GET', 'POST', 'PUT', 'HEAD']) {
            asked.push((async () => fetch(third + '?' + mode, { method, mode, keepalive, body: /P/.test(method) ? 'x' : undefined }))());
        }
        const old = new XMLHttpRequest();
        old.open('POST', third); old.send('x');
        navigator.sendBeacon(third, 'x');
        new Image().src = third;
        new EventSource(third);
        new WebSocket('wss://third-example.com/login');
        new Worker('/worker.js');
        new SharedWorker('/worker.js');
        navigator.serviceWorker?.register('/sw.js');
        asked.push((async () => { await import(new URL('data:text/javascript,fetch("https://third-example.com/login?data")')) })());
        document.head.insertAdjacentHTML('beforeend', `<link rel=prefetch href="${third}"><link rel=preconnect href="${third}">
            <link rel=dns-prefetch href="${third}"><link rel=preload as=fetch href="${third}"><link rel=manifest href="${third}">
            <link rel=icon href="${third}"><link rel=prerender href="${third}">
            <style>body { background: url(${third}) } @font-face { font-family: x; src: url(${third}) } p { font-family: x }</style>
            <script type=speculationrules>{"prefetch": [{"urls": ["${third}"]}]}<\/script>`);
        document.body.insertAdjacentHTML('beforeend', `<iframe name=f src="${third}"></iframe><object data="${third}"></object>
            <embed src="${third}"><video src="${third}" autoplay></video><track src="${third}">
            <iframe srcdoc="<script>fetch('${third}', {method: 'POST', body: 'x'})<\/script>"></iframe>
            <form id=hidden target=f method=post action="${third}"><input name=password value=x></form>
            <a id=link href="${third}" ping="${third}" target=f>x</a>`);
        document.getElementById('hidden').submit();
        document.getElementById('link').click();
        window.open(third);
        Promise.allSettled(asked).then((all) => {
            out.textContent = 'tried ' + all.length + ', got ' + all.filter((one) => one.status == 'fulfilled').length;
        });"#;
    let page = format!("<html><body><p id=out></p><script>{script}</script></body></html>");
    rig.site.put("shop-example.no/page", Answer::html(&page));
    let rendered = rig.render("https://shop-example.no/page").await.unwrap();
    // The data: module is no request to anybody.
    let ahead = "document.body.insertAdjacentHTML('beforeend',
        '<form id=ahead method=post action=https://third-example.com/login><input name=password value=x></form>'); ahead.submit()";
    // What is shown then is nobody's page.
    drop(rig.run(ahead).await);
    assert!(contains(&rendered, "tried 217, got 1"), "{}", rendered.html);
    rig.renderer.close().await;
    let hits = rig.site.hits("third-example.com");
    assert!(
        hits.is_empty(),
        "{} requests: {:?}",
        hits.len(),
        hits.first()
    );
}

/// Of others come scripts and style sheets: few, from few of them, as they themselves say in robots.txt and one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn others_are_asked_as_for_any_page_and_a_few_times_only() {
    const DELAY: Duration = Duration::from_millis(400);
    let Some(rig) = Rig::start(
        |config| {
            config.max_foreign_requests = 6;
            config.max_foreign_hosts = 2;
        },
        |fetching| {
            fetching.robots = true;
            fetching.per_host_delay = DELAY;
        },
    )
    .await
    else {
        return;
    };
    let script = Answer::of("text/javascript", "done.push(1)")
        .with("set-cookie", "who=me; SameSite=None; Secure");
    for host in ["cdn-example.com", "ads-example.com", "spy-example.com"] {
        rig.site.fallback(host, script.clone());
    }
    rig.site.put(
        "cdn-example.com/robots.txt",
        Answer::of("text/plain", "User-agent: *\nDisallow: /private\n"),
    );
    for host in ["ads-example.com", "spy-example.com"] {
        rig.site
            .put(&format!("{host}/robots.txt"), Answer::status(404));
    }
    let urls: Vec<String> = (0..4)
        .map(|number| format!("cdn-example.com/{number}.js"))
        .chain([
            "cdn-example.com/private/x.js".to_owned(),
            "ads-example.com/a.js".to_owned(),
        ])
        .chain((0..20).map(|number| format!("cdn-example.com/more/{number}.js")))
        .chain((0..5).map(|number| format!("spy-example.com/{number}.js")))
        .collect();
    let tags: String = urls
        .iter()
        .map(|url| format!("<script src=https://{url}></script>"))
        .collect();
    rig.site.put(
        "shop-example.no/page",
        Answer::html(&format!(
            "<html><body><p id=out></p><script>const done = []</script>{tags}<script>out.textContent = 'ran ' + done.length</script></body></html>"
        ))
        .with("set-cookie", "basket=7"),
    );
    let rendered = rig.render("https://shop-example.no/page").await.unwrap();
    rig.renderer.close().await;
    // Six were asked for, and one of them robots.txt forbids.
    assert!(contains(&rendered, "ran 5"), "{}", rendered.html);
    let cdn = rig.site.hits("cdn-example.com/");
    assert_eq!(cdn[0].place, "cdn-example.com/robots.txt", "{cdn:?}");
    let places: Vec<&str> = cdn.iter().skip(1).map(|hit| &*hit.place).collect();
    assert_eq!(places.len(), 4, "{places:?}");
    assert!(
        !places.contains(&"cdn-example.com/private/x.js"),
        "{places:?}"
    );
    // Three delays lie between four requests; they arrive as a busy machine has them arrive.
    let span = cdn[4].at.duration_since(cdn[1].at);
    assert!(span >= DELAY * 2, "{span:?}");
    assert_eq!(rig.site.hits("ads-example.com/a.js").len(), 1);
    assert!(
        rig.site.hits("spy-example.com").is_empty(),
        "a host too many"
    );
    for hit in &cdn {
        for name in ["cookie", "referer", "origin", "authorization"] {
            assert!(hit.headers.get(name).is_none(), "{name}: {hit:?}");
        }
    }
}

/// A redirect is a request like any other, whoever sends it.
#[tokio::test(flavor = "multi_thread")]
async fn redirects_carry_nothing_to_others() {
    let Some(mut rig) = Rig::start(|_| (), |_| ()).await else {
        return;
    };
    rig.allowance.post = true;
    let to = |url: &str, status: u16| {
        Answer::status(status)
            .with("location", url)
            .with("access-control-allow-origin", "*")
    };
    rig.site.put(
        "shop-example.no/away",
        to("https://third-example.com/login?get", 302),
    );
    rig.site.put(
        "shop-example.no/kept",
        to("https://third-example.com/login?kept", 307),
    );
    rig.site.put(
        "api.shop-example.no/on",
        to("https://shop-example.no/kept", 308),
    );
    rig.site.put(
        "shop-example.no/lib.js",
        to("https://third-example.com/lib.js", 301),
    );
    rig.site.put(
        "third-example.com/lib.js",
        to("http://10.0.0.1/lib.js", 301),
    );
    rig.site.fallback(
        "third-example.com",
        Answer::json("{}").with("access-control-allow-origin", "*"),
    );
    let rendered = rig
        .run(
            "const asked = [fetch('/away'), fetch('/kept', { method: 'POST', body: 'secret' }),
                 fetch('http://api.shop-example.no/on', { method: 'POST', body: 'secret' }),
                 new Promise((yes, no) => {
                     const tag = document.createElement('script');
                     tag.src = '/lib.js'; tag.onload = yes; tag.onerror = no; document.body.append(tag);
                 })];
             Promise.allSettled(asked).then((all) => { out.textContent = all.map((one) => one.status).join(' ') })",
        )
        .await
        .unwrap();
    rig.renderer.close().await;
    assert!(
        contains(&rendered, "rejected rejected rejected rejected"),
        "{}",
        rendered.html
    );
    let places: Vec<String> = rig
        .site
        .hits("third-example.com")
        .into_iter()
        .map(|hit| hit.place)
        .collect();
    assert_eq!(places, ["third-example.com/lib.js"]);
    // The shop itself was asked, and its own API led back to it.
    assert_eq!(rig.site.hits("shop-example.no/kept").len(), 2);
    assert!(
        rig.site
            .hits("shop-example.no/kept")
            .iter()
            .all(|hit| hit.body == "secret")
    );
}

/// Without leave nothing is sent to the shop either, and what is asked of it says nothing of the page's own making.
#[tokio::test(flavor = "multi_thread")]
async fn the_shop_is_asked_and_not_sent_to() {
    let Some(mut rig) = Rig::start(|_| (), |_| ()).await else {
        return;
    };
    rig.site.fallback("shop-example.no", Answer::json("{}"));
    let script = "Promise.allSettled([
             fetch('/login', { method: 'POST', body: 'x' }),
             fetch('/price', { headers: { 'Authorization': 'Basic x', 'X-Forwarded-For': '9.9.9.9', 'X-Real-IP': '9.9.9.9',
                 'Forwarded': 'for=9.9.9.9', 'X-Requested-With': 'XMLHttpRequest', 'X-Http-Method-Override': 'DELETE',
                 'Proxy-Authorization': 'x', 'Via': 'x', 'Client-IP': '9.9.9.9' } }),
         ]).then((all) => { out.textContent = all.map((one) => one.status).join(' ') })";
    let rendered = rig.run(script).await.unwrap();
    assert!(
        contains(&rendered, "rejected fulfilled"),
        "{}",
        rendered.html
    );
    assert!(rig.site.hits("shop-example.no/login").is_empty());
    let asked = &rig.site.hits("shop-example.no/price")[0];
    assert_eq!(asked.headers["x-requested-with"], "XMLHttpRequest");
    let mut names: Vec<&str> = asked.headers.keys().map(|name| name.as_str()).collect();
    names.retain(|name| {
        ![
            "accept",
            "accept-encoding",
            "host",
            "referer",
            "user-agent",
            "x-requested-with",
        ]
        .contains(name)
    });
    assert!(names.is_empty(), "{names:?}");

    rig.allowance.post = true;
    let rendered = rig.run(script).await.unwrap();
    assert!(
        contains(&rendered, "fulfilled fulfilled"),
        "{}",
        rendered.html
    );
    assert_eq!(rig.site.hits("shop-example.no/login").len(), 1);
    rig.renderer.close().await;
}

/// Another site's page would not be read, so nobody asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_leads_to_another_site_is_not_followed() {
    let Some(rig) = Rig::start(|_| (), |_| ()).await else {
        return;
    };
    rig.site.fallback("third-example.com", Answer::html("x"));
    rig.site.put(
        "shop-example.no/out",
        Answer::redirect("https://third-example.com/out"),
    );
    for script in [
        "location.href = 'https://third-example.com/login?user=root'",
        "document.body.insertAdjacentHTML('beforeend', '<meta http-equiv=refresh content=\"0;https://third-example.com/\">')",
        "location.href = '/out'",
    ] {
        let error = rig.run(script).await.unwrap_err();
        assert!(
            matches!(&error, RenderError::LedAway { host } if host == "third-example.com"),
            "{script}: {error}"
        );
    }
    rig.renderer.close().await;
    assert!(rig.site.hits("third-example.com").is_empty());
}
