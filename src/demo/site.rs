//! Plans one host: its business, pages, contact details and sitemaps.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::country::{Country, Telephone, Town};
use super::decoy;
use super::model::{
    Behaviour, ContactKind, Form, Listing, Page, PageKind, Planted, Site, SitemapBody, SitemapFile,
    SitemapForm,
};
use super::names::slug;

/// URLs in the sitemap of a [`SitemapForm::Large`] host.
const LARGE_SITEMAP_URLS: usize = 2_000;

/// What is decided about a host before its details are invented.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) index: usize,
    pub(crate) behaviour: Behaviour,
    pub(crate) sitemap_form: SitemapForm,
    pub(crate) country: Country,
    /// The host name has letters outside ASCII.
    pub(crate) is_international: bool,
}

/// Takes turns between the written forms, so that a small web has them all.
#[derive(Debug, Default)]
pub(crate) struct FormTurns {
    email: usize,
    phone: usize,
    social: usize,
}

impl FormTurns {
    fn next_email(&mut self) -> Form {
        turn(
            &mut self.email,
            &[
                Form::Plain,
                Form::Mailto,
                Form::JsonLd,
                Form::Obfuscated,
                Form::Entities,
                Form::Cloudflare,
                Form::MailtoSubject,
                Form::Microdata,
            ],
        )
    }

    fn next_phone(&mut self) -> Form {
        turn(
            &mut self.phone,
            &[
                Form::Plain,
                Form::Tel,
                Form::JsonLd,
                Form::International,
                Form::Microdata,
                Form::Named,
            ],
        )
    }

    fn next_social(&mut self) -> Form {
        turn(&mut self.social, &[Form::Link, Form::Link, Form::JsonLd])
    }
}

fn turn(counter: &mut usize, forms: &[Form]) -> Form {
    let form = forms[*counter % forms.len()];
    *counter += 1;
    form
}

/// Invents a site by its plan.
pub(crate) fn generate(seed: u64, plan: Plan, turns: &mut FormTurns) -> Site {
    let mut rng = StdRng::seed_from_u64(seed);
    let country = plan.country;
    let towns = country.towns();
    let town = &towns[rng.random_range(0..towns.len())];
    let trades = country.trades();
    let mut trade = &trades[rng.random_range(0..trades.len())];
    if plan.is_international
        && let Some(marked) = trades.iter().find(|trade| trade.label.contains('ü'))
    {
        trade = marked;
    }
    let name = country.business_name(
        trade,
        rng.random_range(0..1_000),
        rng.random_range(0..1_000),
    );
    let typed_label = slug(&name, plan.is_international);
    let typed_host = format!("{typed_label}-{:03}.{}", plan.index + 1, country.suffix());
    // A name that IDNA refuses falls back to its spelling in ASCII, which every name has.
    let host = idna::domain_to_ascii(&typed_host).unwrap_or_else(|_refused| {
        format!(
            "{}-{:03}.{}",
            slug(&name, false),
            plan.index + 1,
            country.suffix()
        )
    });
    let streets = country.phrases().streets;
    let street = streets[rng.random_range(0..streets.len())];
    let site = Site {
        index: plan.index,
        host,
        typed_host,
        name,
        trade,
        country,
        town,
        street,
        house_number: rng.random_range(1..180),
        postcode: town.invent_postcode(&mut rng),
        telephone: None,
        behaviour: plan.behaviour,
        sitemap_form: plan.sitemap_form,
        pages: BTreeMap::new(),
        sitemaps: BTreeMap::new(),
        robots: None,
        disallowed: Vec::new(),
        home_sitemap_link: None,
        is_windows_1252: matches!(country, Country::Germany | Country::France)
            && rng.random_range(0..6) == 0,
        seed,
    };
    let mut builder = Builder {
        site,
        rng,
        turns,
        next_mailbox: 0,
    };
    if plan.behaviour != Behaviour::Dead {
        builder.add_pages();
        builder.add_sitemaps();
    }
    builder.site
}

struct Builder<'a> {
    site: Site,
    rng: StdRng,
    turns: &'a mut FormTurns,
    next_mailbox: usize,
}

impl Builder<'_> {
    fn add_pages(&mut self) {
        let phrases = self.site.country.phrases();
        let (about, services, team, careers) = match self.site.country {
            Country::UnitedStates | Country::UnitedKingdom => {
                ("/about", "/services", "/team", "/careers")
            }
            Country::Germany => ("/ueber-uns", "/leistungen", "/team", "/karriere"),
            Country::France => ("/a-propos", "/prestations", "/equipe", "/recrutement"),
            Country::Netherlands => ("/over-ons", "/diensten", "/team", "/vacatures"),
        };
        self.add_page("/", PageKind::Home, self.site.trade.tagline.to_owned());
        self.add_page(about, PageKind::About, phrases.about.to_owned());
        self.add_page(services, PageKind::Services, phrases.services.to_owned());
        if self.rng.random_range(0..3) == 0 {
            self.add_page(team, PageKind::Team, phrases.team.to_owned());
        }
        if self.rng.random_range(0..4) == 0 {
            self.add_page(careers, PageKind::Careers, phrases.careers.to_owned());
        }
        let posts = self.rng.random_range(2..=phrases.blog_topics.len());
        for (title, path) in &phrases.blog_topics[..posts] {
            self.add_page(
                &format!("/blog/{path}"),
                PageKind::Blog,
                (*title).to_owned(),
            );
        }
        let products = self.rng.random_range(2..=phrases.products.len());
        for (title, path) in &phrases.products[..products] {
            self.add_page(
                &format!("/shop/{path}"),
                PageKind::Product,
                (*title).to_owned(),
            );
        }
        self.add_page(
            "/shop/list?category=3&sort=price",
            PageKind::Product,
            phrases.shop.to_owned(),
        );
        if self.rng.random_range(0..2) == 0 {
            self.add_page("/files/price-list.pdf", PageKind::Pdf, "PDF".to_owned());
        }
        if self.site.index.is_multiple_of(3) && self.site.sitemap_form != SitemapForm::HomeLink {
            self.add_page("/sitemap.html", PageKind::HtmlSitemap, "Sitemap".to_owned());
        }
        if self.site.sitemap_form == SitemapForm::Large {
            let mut number = 0;
            while self.site.pages.len() < LARGE_SITEMAP_URLS - 3 {
                number += 1;
                let title = phrases.products[number % phrases.products.len()].0;
                self.add_page(
                    &format!("/shop/item-{number:04}"),
                    PageKind::Product,
                    format!("{title} {number:04}"),
                );
            }
        }
        self.add_contact_pages();
        if self.site.sitemap_form == SitemapForm::Large {
            let mut number = 0;
            while self.site.pages.len() < LARGE_SITEMAP_URLS {
                number += 1;
                self.add_page(
                    &format!("/blog/archive-{number}"),
                    PageKind::Blog,
                    format!("{} {number}", phrases.blog),
                );
            }
        }
    }

    fn add_page(&mut self, path: &str, kind: PageKind, title: String) {
        let mut page = Page {
            kind,
            title,
            contacts: Vec::new(),
            fax: None,
            decoys: Vec::new(),
            is_malformed: self.rng.random_range(0..4) == 0,
            seed: self.rng.random(),
        };
        if page.kind == PageKind::Team || page.kind == PageKind::Careers {
            let people = self.site.country.phrases().people;
            let (given, family) = people[self.rng.random_range(0..people.len())];
            let mailbox = slug(&format!("{given} {family}"), false).replace('-', ".");
            page.contacts.push(self.email(&mailbox, Form::Mailto));
        }
        self.site.pages.insert(path.to_owned(), page);
    }

    fn add_contact_pages(&mut self) {
        let country = self.site.country;
        let phrases = country.phrases();
        let paths = country.contact_paths();
        let path = paths[self.rng.random_range(0..paths.len())];
        let mut contacts = Vec::new();
        for _ in 0..self.rng.random_range(1..=3) {
            let form = self.turns.next_email();
            let mailbox = self.mailbox();
            contacts.push(self.email(&mailbox, form));
        }
        for _ in 0..self.rng.random_range(1..=2) {
            let form = self.turns.next_phone();
            let telephone = self.telephone();
            self.site.telephone.get_or_insert_with(|| telephone.clone());
            // Two invented numbers may be the same.
            if !contacts
                .iter()
                .any(|contact: &Planted| contact.value == telephone.e164)
            {
                contacts.push(phone(&telephone, form));
            }
        }
        let first_platform: usize = self.rng.random_range(0..5);
        for offset in 0..self.rng.random_range(0..=3) {
            let form = self.turns.next_social();
            contacts.push(self.social(first_platform + offset, form));
        }
        let is_disallowed = self.site.behaviour == Behaviour::RobotsDisallow;
        if !is_disallowed && self.rng.random_range(0..2) == 0 {
            self.repeat_on_home_page(&contacts);
        }
        let fax = (self.rng.random_range(0..5) == 0)
            .then(|| phone(&self.telephone(), Form::International))
            .filter(|fax| contacts.iter().all(|contact| contact.value != fax.value));
        self.add_contact_page(path, phrases.contact, contacts, fax);
        if is_disallowed {
            self.site.disallowed = vec![path.to_owned(), "/shop/".to_owned()];
        }
        self.add_legal_and_career_pages(path);
        match self.site.behaviour {
            Behaviour::MovedPage => self.move_page(path, 301),
            Behaviour::LeadsOn => self.move_page(path, 200),
            Behaviour::PrivateRedirect => {
                self.add_redirect("/terms", "http://10.0.0.1/login");
                self.add_redirect("/contact/", "/contact/");
            }
            Behaviour::Normal
            | Behaviour::Slow
            | Behaviour::Flaky
            | Behaviour::Dead
            | Behaviour::ApexToWww
            | Behaviour::WwwToApex
            | Behaviour::SoftNotFound
            | Behaviour::RobotsDisallow
            | Behaviour::WwwOnly
            | Behaviour::CookieCheck => {}
        }
    }

    fn add_legal_and_career_pages(&mut self, contact_path: &str) {
        let country = self.site.country;
        let must_have = self.site.behaviour == Behaviour::RobotsDisallow;
        if must_have || self.rng.random_range(0..5) < 2 {
            let path = if country == Country::Germany && contact_path != "/impressum" {
                "/impressum"
            } else {
                "/privacy-policy"
            };
            let (mailbox, title) = match country {
                Country::Germany if path == "/impressum" => ("verwaltung", "Impressum"),
                Country::Germany => ("datenschutz", "Datenschutz"),
                Country::France => ("rgpd", "Politique de confidentialité"),
                Country::Netherlands => ("privacy", "Privacyverklaring"),
                Country::UnitedStates | Country::UnitedKingdom => ("privacy", "Privacy policy"),
            };
            let form = self.turns.next_email();
            let contact = self.email(mailbox, form);
            self.add_contact_page(path, title, vec![contact], None);
        }
        let speaks_english = matches!(country, Country::UnitedStates | Country::UnitedKingdom);
        if speaks_english && self.rng.random_range(0..4) == 0 {
            let form = self.turns.next_email();
            let contact = self.email("careers", form);
            self.add_contact_page("/careers/contact", "Careers: contact", vec![contact], None);
        }
    }

    fn add_contact_page(
        &mut self,
        path: &str,
        title: &str,
        contacts: Vec<Planted>,
        fax: Option<Planted>,
    ) {
        let url = self.site.url(path);
        let decoys = decoy::invent(&mut self.rng, &url, self.site.country, self.site.town);
        let page = Page {
            kind: PageKind::Contact,
            title: title.to_owned(),
            contacts,
            fax,
            decoys,
            is_malformed: self.rng.random_range(0..3) == 0,
            seed: self.rng.random(),
        };
        self.site.pages.insert(path.to_owned(), page);
    }

    /// Moves a page to a path that no sitemap lists, and leaves a redirect there.
    fn move_page(&mut self, path: &str, status: u16) {
        let target = format!(
            "/{}/new-address",
            path.trim_matches('/').replace(['/', '.'], "-")
        );
        if let Some(page) = self.site.pages.remove(path) {
            self.site.pages.insert(target.clone(), page);
        }
        let target = self.site.url(&target);
        self.add_redirect_with_status(path, &target, status);
    }

    fn add_redirect(&mut self, path: &str, target: &str) {
        self.add_redirect_with_status(path, target, 302);
    }

    fn add_redirect_with_status(&mut self, path: &str, target: &str, status: u16) {
        let kind = PageKind::Redirect {
            status,
            to: target.to_owned(),
        };
        self.add_page(path, kind, String::new());
    }

    fn repeat_on_home_page(&mut self, contacts: &[Planted]) {
        let first = |kind, form| {
            let contact = contacts.iter().find(|contact| contact.kind == kind)?;
            let written = contact.value.clone();
            Some(Planted {
                kind,
                value: contact.value.clone(),
                written,
                form,
            })
        };
        let repeated: Vec<Planted> = [
            first(ContactKind::Email, Form::Mailto),
            first(ContactKind::Phone, Form::Tel),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let Some(home) = self.site.pages.get_mut("/") {
            home.contacts = repeated;
        }
    }

    fn mailbox(&mut self) -> String {
        let phrases = self.site.country.phrases();
        let position = self.next_mailbox;
        self.next_mailbox += 1;
        if position == 2 {
            let (given, family) = phrases.people[self.rng.random_range(0..phrases.people.len())];
            return slug(&format!("{given} {family}"), false).replace('-', ".");
        }
        let offset = self.site.index % phrases.mailboxes.len();
        phrases.mailboxes[(position + offset) % phrases.mailboxes.len()].to_owned()
    }

    fn email(&mut self, mailbox: &str, form: Form) -> Planted {
        let value = format!("{mailbox}@{}", self.site.host);
        let mut written = value.clone();
        if matches!(form, Form::Plain | Form::Mailto) && self.rng.random_range(0..5) == 0 {
            let mut letters = value.chars();
            written = letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(letters).collect()
            });
        }
        Planted {
            kind: ContactKind::Email,
            value,
            written,
            form,
        }
    }

    fn telephone(&mut self) -> Telephone {
        let town: &Town = self.site.town;
        town.telephone(&mut self.rng)
    }

    fn social(&self, platform: usize, form: Form) -> Planted {
        let letters: String = slug(&self.site.name, false).replace('-', "");
        let number = self.site.index + 1;
        let handle = format!("{letters}{number}");
        // X allows 15 characters.
        let short: String = letters.chars().take(10).collect();
        let value = match platform % 5 {
            0 => format!("https://www.facebook.com/{handle}"),
            1 => format!("https://www.instagram.com/{handle}/"),
            2 => format!("https://www.linkedin.com/company/{handle}"),
            3 => format!("https://x.com/{short}{number}"),
            _ => format!("https://www.youtube.com/@{handle}"),
        };
        Planted {
            kind: ContactKind::Social,
            written: value.clone(),
            value,
            form,
        }
    }

    fn add_sitemaps(&mut self) {
        let listings = self.list_pages();
        let mut named = Vec::new();
        match self.site.sitemap_form {
            SitemapForm::Robots | SitemapForm::Large => {
                self.add_sitemap("/sitemap.xml", SitemapBody::Urls(listings));
                named.push("/sitemap.xml");
            }
            SitemapForm::Index => {
                self.add_index(
                    "/sitemap_index.xml",
                    "/page-sitemap.xml",
                    "/post-sitemap.xml",
                    listings,
                );
                named.extend(["/old/sitemap-2019.xml", "/sitemap_index.xml"]);
            }
            SitemapForm::NestedIndex => {
                self.add_index(
                    "/sitemaps/archive/index.xml",
                    "/sitemaps/archive/pages.xml",
                    "/sitemaps/archive/posts.xml",
                    listings.clone(),
                );
                let recent = listings.into_iter().take(3).collect();
                self.add_sitemap("/sitemaps/recent.xml", SitemapBody::Urls(recent));
                self.add_sitemap(
                    "/sitemaps/index.xml",
                    SitemapBody::Index(paths(&[
                        "/sitemaps/archive/index.xml",
                        "/sitemaps/recent.xml",
                    ])),
                );
                named.push("/sitemaps/index.xml");
            }
            SitemapForm::SelfReferencingIndex => {
                self.add_sitemap("/sitemap-main.xml", SitemapBody::Urls(listings));
                self.add_sitemap(
                    "/sitemap.xml",
                    SitemapBody::Index(paths(&["/sitemap.xml", "/sitemap-main.xml"])),
                );
                named.push("/sitemap.xml");
            }
            SitemapForm::Gzip => {
                let sitemap = SitemapFile {
                    body: SitemapBody::Urls(listings),
                    is_gzip: true,
                };
                self.site
                    .sitemaps
                    .insert("/sitemap.xml.gz".to_owned(), sitemap);
                named.push("/sitemap.xml.gz");
            }
            SitemapForm::WellKnown => {
                match self.site.index % 3 {
                    0 => self.add_sitemap("/sitemap.xml", SitemapBody::Urls(listings)),
                    1 => self.add_index(
                        "/wp-sitemap.xml",
                        "/wp-sitemap-posts-page-1.xml",
                        "/wp-sitemap-posts-post-1.xml",
                        listings,
                    ),
                    _ => self.add_index(
                        "/sitemap_index.xml",
                        "/page-sitemap.xml",
                        "/post-sitemap.xml",
                        listings,
                    ),
                }
                return;
            }
            SitemapForm::HomeLink => {
                let (path, markup) = if self.site.index.is_multiple_of(2) {
                    (
                        "/meta/list-of-pages.xml",
                        "<link rel=\"sitemap\" type=\"application/xml\" href=\"/meta/list-of-pages.xml\">",
                    )
                } else {
                    (
                        "/seo/sitemap-main.xml",
                        "<a href=\"/seo/sitemap-main.xml\">Sitemap</a>",
                    )
                };
                self.add_sitemap(path, SitemapBody::Urls(listings));
                self.site.home_sitemap_link = Some(markup.to_owned());
            }
            SitemapForm::Text => {
                self.add_sitemap("/sitemap.txt", SitemapBody::Text(listings));
                named.push("/sitemap.txt");
            }
            SitemapForm::Rss => {
                self.add_sitemap("/feed.xml", SitemapBody::Rss(listings));
                named.push("/feed.xml");
            }
            SitemapForm::None => {
                if self.site.behaviour == Behaviour::SoftNotFound {
                    return;
                }
            }
            SitemapForm::Overlapping => {
                let disguised = listings.iter().map(disguise).collect();
                self.add_sitemap("/sitemap-a.xml", SitemapBody::Urls(listings));
                self.add_sitemap("/sitemap-b.xml", SitemapBody::Urls(disguised));
                named.extend(["/sitemap-a.xml", "/sitemap-b.xml"]);
            }
        }
        self.write_robots(&named);
    }

    fn add_sitemap(&mut self, path: &str, body: SitemapBody) {
        self.site.sitemaps.insert(
            path.to_owned(),
            SitemapFile {
                body,
                is_gzip: false,
            },
        );
    }

    /// An index with its posts in one child and all other pages in the other.
    fn add_index(&mut self, index: &str, pages: &str, posts: &str, listings: Vec<Listing>) {
        let (blog, others): (Vec<_>, Vec<_>) = listings
            .into_iter()
            .partition(|listing| listing.page.starts_with("/blog/"));
        self.add_sitemap(pages, SitemapBody::Urls(others));
        self.add_sitemap(posts, SitemapBody::Urls(blog));
        self.add_sitemap(index, SitemapBody::Index(paths(&[posts, pages])));
    }

    fn list_pages(&mut self) -> Vec<Listing> {
        let mut listings = Vec::new();
        for (path, page) in &self.site.pages {
            // The new address of a moved page and the sitemap for people are found by links only.
            if page.kind == PageKind::HtmlSitemap || path.ends_with("/new-address") {
                continue;
            }
            let lastmod = match self.rng.random_range(0..3) {
                0 => None,
                1 => Some(format!(
                    "2024-0{}-1{}",
                    self.rng.random_range(1..10),
                    path.len() % 10
                )),
                _ => Some(format!(
                    "2024-0{}-2{}T08:{}:00+00:00",
                    self.rng.random_range(1..10),
                    path.len() % 10,
                    self.rng.random_range(10..60)
                )),
            };
            let listed = match path.split_once('?') {
                Some((path, query)) => {
                    let reversed: Vec<&str> = query.split('&').rev().collect();
                    format!("{path}?{}", reversed.join("&"))
                }
                None => path.clone(),
            };
            listings.push(Listing {
                page: path.clone(),
                listed,
                lastmod,
            });
        }
        listings
    }

    fn write_robots(&mut self, sitemaps: &[&str]) {
        let mut text = String::new();
        if self.site.index.is_multiple_of(4) {
            text.push_str("User-agent: GreedyBot\nDisallow: /\n\n");
        }
        text.push_str("User-agent: *\n");
        if self.site.disallowed.is_empty() {
            text.push_str("Disallow:\n");
        }
        for prefix in &self.site.disallowed {
            text.push_str(&format!("Disallow: {prefix}\n"));
        }
        if self.site.behaviour == Behaviour::RobotsDisallow {
            text.push_str("Crawl-delay: 1\n");
        }
        text.push('\n');
        for path in sitemaps {
            text.push_str(&format!("Sitemap: {}\n", self.site.url(path)));
        }
        self.site.robots = Some(text);
    }
}

fn phone(telephone: &Telephone, form: Form) -> Planted {
    let written = match form {
        Form::International | Form::JsonLd => telephone.international.clone(),
        _ => telephone.national.clone(),
    };
    Planted {
        kind: ContactKind::Phone,
        value: telephone.e164.clone(),
        written,
        form,
    }
}

fn paths(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Lists the same page under another spelling.
fn disguise(listing: &Listing) -> Listing {
    let separator = if listing.page.contains('?') { '&' } else { '?' };
    let listed = match listing.page.len() % 3 {
        0 => format!(
            "{}{separator}utm_source=sitemap&utm_medium=organic",
            listing.page
        ),
        1 => format!("{}#main", listing.page),
        _ => format!(
            "{}{separator}gclid=CjwKCAjw{}",
            listing.page,
            listing.page.len()
        ),
    };
    Listing {
        page: listing.page.clone(),
        listed,
        lastmod: listing.lastmod.clone(),
    }
}
