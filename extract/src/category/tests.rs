//! Tests of `extract::category`.

use proptest::prelude::*;

use super::*;

fn answer(path: &str) -> Category {
    categorize(
        &Url::parse("https://example.com")
            .unwrap()
            .join(path)
            .unwrap(),
    )
}

#[track_caller]
fn check(path: &str, page_type: PageType, disposition: Disposition) {
    let found = answer(path);
    assert_eq!(
        (found.page_type, found.disposition),
        (page_type, disposition),
        "{path}: {found:?}"
    );
}

#[test]
fn pages_that_lead_to_contacts_are_queued() {
    use PageType::{CareerContact, ContactRoot, LegalRoot};
    for (path, page_type) in [
        ("/contact", ContactRoot),
        ("/contact-us/", ContactRoot),
        ("/contact.php", ContactRoot),
        ("/contactus", ContactRoot),
        ("/Contact_Us.aspx", ContactRoot),
        ("/CONTACT.HTML", ContactRoot),
        ("/en/contact", ContactRoot),
        ("/en-US/contact-us", ContactRoot),
        ("/us/en/company/contact", ContactRoot),
        ("/pages/contact", ContactRoot),
        ("/contact/index.html", ContactRoot),
        ("/contact-us/sales", ContactRoot),
        ("/contact-us-today", ContactRoot),
        ("/about/contact", ContactRoot),
        ("/london/contact", ContactRoot),
        ("/kontakt", ContactRoot),
        ("/de/kontaktformular.html", ContactRoot),
        ("/contactez-nous", ContactRoot),
        ("/contacto/", ContactRoot),
        ("/contatti", ContactRoot),
        ("/fale-conosco", ContactRoot),
        ("/iletisim", ContactRoot),
        ("/контакты/", ContactRoot),
        (
            "/%D0%BA%D0%BE%D0%BD%D1%82%D0%B0%D0%BA%D1%82%D1%8B",
            ContactRoot,
        ),
        ("/お問い合わせ", ContactRoot),
        ("/联系我们.html", ContactRoot),
        ("/lien-he", ContactRoot),
        ("/hubungi-kami", ContactRoot),
        ("/تماس-با-ما", ContactRoot),
        ("/اتصل-بنا", ContactRoot),
        ("/kapcsolat", ContactRoot),
        ("/yhteystiedot", ContactRoot),
        ("/επικοινωνία", ContactRoot),
        ("/צור-קשר", ContactRoot),
        ("/ติดต่อเรา", ContactRoot),
        ("/kontakta-oss", ContactRoot),
        ("/문의", ContactRoot),
        ("/index.php?page=contact", ContactRoot),
        ("/index.php?route=information/contact", ContactRoot),
        ("/careers", CareerContact),
        ("/jobs/", CareerContact),
        ("/jobs/contact", CareerContact),
        ("/karriere", CareerContact),
        ("/lavora-con-noi", CareerContact),
        ("/privacy-policy", LegalRoot),
        ("/legal/privacy", LegalRoot),
        ("/legal/terms", LegalRoot),
        ("/impressum", LegalRoot),
        ("/mentions-legales", LegalRoot),
        ("/aviso-legal", LegalRoot),
        ("/datenschutzerklärung", LegalRoot),
        ("/policies/terms-of-service", LegalRoot),
    ] {
        check(path, page_type, Disposition::Queue);
    }
}

#[test]
fn other_pages_are_kept_with_their_type() {
    use PageType::{
        AboutRoot, Archive, Blog, CareerContact, ContactRoot, Home, LegalRoot, MenuRoot,
        PricingRoot, Product, ServicesRoot, TeamRoot, Unknown, Utility, WpProspect,
    };
    for (path, page_type) in [
        ("/", Home),
        ("/de/", Home),
        ("/index.php", Home),
        ("/Home.aspx", Home),
        ("/home", Home),
        ("/en/home/", Home),
        ("/tuotteet", Product),
        ("/produkter/kettle", Product),
        ("/winkelwagen", Utility),
        ("/iniciar-sesion", Utility),
        ("/konto", Utility),
        ("/about-us/team", TeamRoot),
        ("/team.html", TeamRoot),
        ("/team/jane-doe", TeamRoot),
        ("/about", AboutRoot),
        ("/ueber-uns", AboutRoot),
        ("/qui-sommes-nous", AboutRoot),
        ("/about/our-garden", AboutRoot),
        ("/services", ServicesRoot),
        ("/services/roof-repair", ServicesRoot),
        ("/menu", MenuRoot),
        ("/speisekarte.html", MenuRoot),
        ("/pricing", PricingRoot),
        ("/preise", PricingRoot),
        ("/blog", Blog),
        ("/blog/", Blog),
        ("/tags", Archive),
        ("/products/contact-lenses", Product),
        ("/shop", Product),
        ("/cart", Utility),
        ("/contact/thank-you", Utility),
        ("/jobs/engineer-12", CareerContact),
        ("/stores/uk/london/contact", ContactRoot),
        ("/shop/uk/london/terms", LegalRoot),
        ("/?p=12", WpProspect),
        ("/?page_id=2&preview=1", WpProspect),
        ("/wp-login.php", WpProspect),
        ("/wp-admin/", WpProspect),
        ("/contact-lenses", Unknown),
        ("/contacting-the-dead", Unknown),
        ("/shop-floor", Unknown),
        ("/x?amp=1", Unknown),
        ("/x?step=2", Unknown),
        ("/?amp=1", Home),
        ("/foo.com", Unknown),
    ] {
        check(path, page_type, Disposition::Keep);
    }
}

#[test]
fn files_posts_and_archives_are_filtered() {
    use PageType::{Archive, Asset, Blog};
    for (path, page_type) in [
        ("/blog/x", Blog),
        ("/en/blog/contact", Blog),
        ("/noticias/hoy", Blog),
        ("/2024/05/06/hello", Blog),
        ("/2024/5/hello", Blog),
        ("/tag/roofs", Archive),
        ("/author/jane/", Archive),
        ("/x.pdf", Asset),
        ("/X.JPG", Asset),
        ("/wp-content/uploads/x.png", Asset),
        ("/contact.pdf", Asset),
        ("/feed/", Asset),
        ("/contact/feed", Asset),
    ] {
        check(path, page_type, Disposition::Filter);
    }
}

#[test]
fn depth_leaves_out_language_and_index_page() {
    for (path, expected) in [
        ("/", 0),
        ("/en/", 0),
        ("/en/contact/", 1),
        ("/us/en/contact/index.html", 1),
        ("/a//b/", 2),
        ("/a/b/c/d", 4),
    ] {
        assert_eq!(answer(path).path_depth, expected, "{path}");
    }
}

#[test]
fn the_rule_is_named() {
    for (path, rule) in [
        ("/contact", "contact"),
        ("/contact-us/sales", "below-contact"),
        ("/impressum", "imprint"),
        ("/x.pdf", "asset-extension"),
        ("/?p=12", "plain-permalink"),
        ("/x", "none"),
    ] {
        assert_eq!(answer(path).rule, rule, "{path}");
    }
}

#[test]
fn tables_hold_together() {
    let mut names = HashSet::new();
    for rule in RULES {
        assert!(names.insert(rule.name), "{} twice", rule.name);
        assert!(
            rule.confidence
                .iter()
                .all(|value| (0.0..=1.0).contains(value))
        );
        match rule.when {
            When::Extension(list)
            | When::Leaf(list)
            | When::Below(list)
            | When::QueryValue(list) => {
                assert!(WORDS.contains_key(list), "{list}");
            }
            When::Within(list, then) => {
                assert!(WORDS.contains_key(list) && WORDS.contains_key(then));
            }
            _ => {}
        }
    }
    for (list, words) in &*WORDS {
        for word in words {
            assert!(!word.is_empty(), "an empty word in {list}");
            // A word that folding would change can never be found.
            if !list.ends_with("-extension") {
                assert_eq!(fold(word).0, *word, "in {list}");
            }
        }
    }
    let texts: HashSet<&str> = PageType::ALL.into_iter().map(PageType::as_str).collect();
    assert_eq!(texts.len(), PageType::ALL.len());
}

proptest! {
    #[test]
    fn no_url_makes_it_panic(path in "/.{0,80}") {
        if let Ok(url) = Url::parse("https://example.com").unwrap().join(&path) {
            let found = categorize(&url);
            prop_assert!((0.0..=1.0).contains(&found.confidence));
        }
    }
}
