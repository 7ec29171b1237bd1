//! Turns planned pages into the HTML of a small business's site.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::country::Phrases;
use super::model::{
    Behaviour, ContactKind, DecoyKind, Form, Page, PageDecoy, PageKind, Planted, Site,
};

const COLOURS: &[(&str, &str)] = &[
    ("#7a4b2a", "#fbf6ef"),
    ("#1f4e5f", "#f2f7f8"),
    ("#3d5a3d", "#f5f8f1"),
    ("#6b2d3c", "#fdf4f5"),
    ("#2b3a67", "#f4f5fb"),
];

/// A blank page in the portable document format, for links to files.
pub(crate) const BLANK_PDF: &str = "%PDF-1.4\n\
    1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n\
    2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
    3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\n\
    trailer<</Size 4/Root 1 0 R>>\n%%EOF\n";

/// Escapes text for HTML and XML, attributes included.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The HTML of a page.
pub(crate) fn page(site: &Site, path: &str, page: &Page) -> String {
    let writer = Writer {
        site,
        page,
        phrases: site.country.phrases(),
    };
    writer.document(path)
}

/// A page that leads on by itself, in one of the ways that people write it.
pub(crate) fn leading_on(site: &Site, target: &str) -> String {
    let target = escape(target);
    let element = match site.index % 3 {
        0 => format!("<meta http-equiv=\"refresh\" content=\"0; url={target}\">"),
        1 => format!("<META HTTP-EQUIV=REFRESH CONTENT=\"3;URL='{target}'\">"),
        _ => format!("<meta content=\"1, {target}\" http-equiv=\"Refresh\">"),
    };
    format!("<html><head>{element}</head><body></body></html>\n")
}

/// What a host that never says 404 answers for a path it does not know.
pub(crate) fn soft_not_found(site: &Site) -> String {
    let page = Page {
        kind: PageKind::About,
        title: site.name.clone(),
        contacts: Vec::new(),
        fax: None,
        decoys: Vec::new(),
        is_malformed: false,
        seed: site.seed,
    };
    let phrases = site.country.phrases();
    let writer = Writer {
        site,
        page: &page,
        phrases,
    };
    writer.frame(
        &format!("<h1>404</h1>\n<p>{}</p>\n", escape(phrases.not_found)),
        "",
    )
}

struct Writer<'a> {
    site: &'a Site,
    page: &'a Page,
    phrases: &'static Phrases,
}

impl Writer<'_> {
    fn document(&self, path: &str) -> String {
        let mut rng = StdRng::seed_from_u64(self.page.seed);
        let mut main = format!("<h1>{}</h1>\n", escape(&self.page.title));
        match self.page.kind {
            PageKind::Home => {
                main.push_str(&self.prose(&mut rng, 3));
                main.push_str(&self.link_list(self.phrases.shop, &PageKind::Product));
                main.push_str(&self.link_list(self.phrases.blog, &PageKind::Blog));
                main.push_str(&self.contact_list());
            }
            PageKind::Contact => self.write_contact_page(&mut main),
            PageKind::Team | PageKind::Careers => {
                main.push_str(&self.prose(&mut rng, 2));
                main.push_str(&self.contact_list());
            }
            PageKind::Services => {
                main.push_str(&self.prose(&mut rng, 3));
                main.push_str(&self.link_list(self.phrases.shop, &PageKind::Product));
            }
            PageKind::HtmlSitemap => main.push_str(&self.page_list()),
            PageKind::Product => {
                main.push_str(&self.prose(&mut rng, 2));
                main.push_str(&format!(
                    "<p class=\"price\">{}.{:02}</p>\n",
                    rng.random_range(5..200),
                    rng.random_range(0..100)
                ));
            }
            PageKind::About | PageKind::Blog | PageKind::Pdf | PageKind::Redirect { .. } => {
                main.push_str(&self.prose(&mut rng, 5));
            }
        }
        self.frame(&main, path)
    }

    /// Header, navigation and footer around the main part.
    fn frame(&self, main: &str, path: &str) -> String {
        let site = self.site;
        let (accent, background) = COLOURS[site.index % COLOURS.len()];
        let charset = if site.is_windows_1252 {
            "windows-1252"
        } else {
            "utf-8"
        };
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"{charset}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{} | {}</title>\n<meta name=\"description\" content=\"{}\">\n",
            site.country.language(),
            escape(&self.page.title),
            escape(&site.name),
            escape(site.trade.tagline)
        );
        if site.index.is_multiple_of(3) {
            html.push_str("<meta name=\"generator\" content=\"WordPress 6.4.3\">\n");
        }
        html.push_str("<link rel=\"icon\" href=\"/favicon.ico\">\n");
        let sitemap_link = site.home_sitemap_link.as_deref().filter(|_| path == "/");
        if let Some(link) = sitemap_link.filter(|link| link.starts_with("<link")) {
            html.push_str(link);
            html.push('\n');
        }
        html.push_str(&format!(
            "<style>body{{font-family:Georgia,serif;margin:0;background:{background};color:#222}}\
             header,footer{{background:{accent};color:#fff;padding:1rem 2rem}}\
             header a,footer a{{color:#fff;margin-right:1rem}}main{{max-width:46rem;margin:2rem auto;padding:0 1rem}}\
             </style>\n"
        ));
        html.push_str(&self.json_ld());
        html.push_str("</head>\n<body>\n<header>\n");
        html.push_str(&self.logo());
        html.push_str(&self.navigation());
        html.push_str("</header>\n<main>\n");
        html.push_str(main);
        html.push_str("</main>\n<footer>\n");
        html.push_str(&format!(
            "<p>&copy; 2024 {} &middot; {}, {}</p>\n",
            escape(&site.name),
            escape(&site.street_line()),
            escape(&site.country.town_line(site.town, &site.postcode))
        ));
        if let Some(link) = sitemap_link.filter(|link| link.starts_with("<a")) {
            html.push_str(link);
            html.push('\n');
        }
        html.push_str("</footer>\n");
        if self.page.is_malformed {
            // A wrong nesting and an end that never comes, as browsers forgive every day.
            html.push_str("<div><b></div></b>\n");
        } else {
            html.push_str("</body>\n</html>\n");
        }
        html
    }

    fn logo(&self) -> String {
        let image = self
            .decoys(DecoyKind::ImageName)
            .next()
            .map_or("logo.png", |decoy| decoy.value.as_str());
        format!(
            "<a href=\"/\"><img src=\"/images/{image}\" srcset=\"/images/{image} 2x\" alt=\"{}\"></a>\n",
            escape(&self.site.name)
        )
    }

    fn navigation(&self) -> String {
        let mut html = String::from("<nav>");
        let phrases = self.phrases;
        for (path, page) in &self.site.pages {
            let label = match page.kind {
                PageKind::Home => phrases.home,
                PageKind::About => phrases.about,
                PageKind::Services => phrases.services,
                PageKind::Team => phrases.team,
                PageKind::Careers => phrases.careers,
                PageKind::HtmlSitemap => "Sitemap",
                PageKind::Contact => page.title.as_str(),
                // The old address of a moved page is what people have linked.
                PageKind::Redirect {
                    status: 301 | 200, ..
                } => phrases.contact,
                PageKind::Blog | PageKind::Product | PageKind::Pdf | PageKind::Redirect { .. } => {
                    continue;
                }
            };
            if path.ends_with("/new-address") {
                continue;
            }
            html.push_str(&format!(
                "<a href=\"{}\">{}</a>",
                escape(path),
                escape(label)
            ));
        }
        let first = |kind| self.site.path_of(&kind).map(str::to_owned);
        for (path, label) in [
            (first(PageKind::Blog), phrases.blog),
            (first(PageKind::Product), phrases.shop),
        ] {
            if let Some(path) = path {
                html.push_str(&format!(
                    "<a href=\"{}\">{}</a>",
                    escape(&path),
                    escape(label)
                ));
            }
        }
        html.push_str("</nav>\n");
        html
    }

    /// A heading and links to the first few pages of a kind.
    fn link_list(&self, heading: &str, kind: &PageKind) -> String {
        let mut html = format!("<h2>{}</h2>\n<ul>\n", escape(heading));
        let pages = self
            .site
            .pages
            .iter()
            .filter(|(_, page)| page.kind == *kind);
        for (path, page) in pages.take(4) {
            let end = if self.page.is_malformed { "" } else { "</li>" };
            html.push_str(&format!(
                "<li><a href=\"{}\">{}</a>{end}\n",
                escape(path),
                escape(&page.title)
            ));
        }
        html.push_str("</ul>\n");
        html
    }

    fn page_list(&self) -> String {
        let mut html = String::from("<ul>\n");
        for (path, page) in &self.site.pages {
            if !page.title.is_empty() && !self.site.is_disallowed(path) {
                html.push_str(&format!(
                    "<li><a href=\"{}\">{}</a></li>\n",
                    escape(path),
                    escape(&page.title)
                ));
            }
        }
        html.push_str("</ul>\n");
        html
    }

    fn paragraph(&self, text: &str) -> String {
        let end = if self.page.is_malformed { "" } else { "</p>" };
        format!("<p>{}{end}\n", escape(text))
    }

    fn prose(&self, rng: &mut StdRng, sentences: usize) -> String {
        let all = self.phrases.sentences;
        let first = rng.random_range(0..all.len());
        (0..sentences)
            .map(|offset| self.paragraph(all[(first + offset) % all.len()]))
            .collect()
    }

    fn write_contact_page(&self, main: &mut String) {
        let site = self.site;
        let phrases = self.phrases;
        main.push_str(&self.paragraph(phrases.contact_intro));
        main.push_str(&format!(
            "<h2>{}</h2>\n<address>{}<br>{}<br>{}</address>\n",
            escape(phrases.address),
            escape(&site.name),
            escape(&site.street_line()),
            escape(&site.country.town_line(site.town, &site.postcode))
        ));
        main.push_str(&self.contact_list());
        if let Some(fax) = &self.page.fax {
            main.push_str(&self.paragraph(&format!("{}: {}", phrases.fax, fax.written)));
        }
        main.push_str(&format!("<h2>{}</h2>\n", escape(phrases.hours)));
        main.push_str(&self.paragraph(phrases.hours_text));
        for decoy in &self.page.decoys {
            main.push_str(&self.decoy(decoy));
        }
        main.push_str(&format!(
            "<form action=\"/send\" method=\"post\"><label>{} <textarea name=\"message\"></textarea></label>\
             <button>{}</button></form>\n",
            escape(phrases.message),
            escape(phrases.send)
        ));
    }

    /// Every contact detail of the page that is not in its JSON-LD.
    fn contact_list(&self) -> String {
        let mut html = String::new();
        for contact in &self.page.contacts {
            if contact.form != Form::JsonLd {
                html.push_str(&self.contact(contact));
            }
        }
        html
    }

    fn contact(&self, contact: &Planted) -> String {
        let label = match contact.kind {
            ContactKind::Email => self.phrases.email,
            ContactKind::Phone => self.phrases.phone,
            ContactKind::Social => self.phrases.follow_us,
        };
        let label = escape(label);
        let written = escape(&contact.written);
        match contact.form {
            Form::Plain | Form::International | Form::JsonLd => {
                let end = if self.page.is_malformed { "" } else { "</p>" };
                format!("<p>{label}: {written}{end}\n")
            }
            Form::Mailto => {
                format!(
                    "<p><a href=\"mailto:{written}\">{}</a></p>\n",
                    escape(self.phrases.write_to_us)
                )
            }
            Form::MailtoSubject => format!(
                "<p>{label}: <a class=mail href='mailto:{written}?subject=Website%20enquiry&amp;body='>{}</a></p>\n",
                escape(self.phrases.write_to_us)
            ),
            Form::Named => format!("<p>{} {written}</p>\n", self.told_by_name()),
            Form::Tel => {
                format!(
                    "<p>{label}: <a href=\"tel:{}\">{written}</a></p>\n",
                    contact.value
                )
            }
            Form::Microdata => {
                let property = if contact.kind == ContactKind::Email {
                    "email"
                } else {
                    "telephone"
                };
                format!(
                    "<div itemscope itemtype=\"https://schema.org/LocalBusiness\">\
                     <meta itemprop=\"name\" content=\"{}\">{label}: <span itemprop=\"{property}\">{written}</span></div>\n",
                    escape(&self.site.name)
                )
            }
            Form::Obfuscated => format!("<p>{label}: {}</p>\n", self.obfuscate(&contact.written)),
            Form::Entities => format!("<p>{label}: {}</p>\n", entities(&contact.written)),
            Form::Cloudflare => format!(
                "<p>{label}: <a href=\"/cdn-cgi/l/email-protection\" class=\"__cf_email__\" data-cfemail=\"{}\">\
                 [email&#160;protected]</a></p>\n",
                cloudflare(&contact.written, self.page.seed.to_le_bytes()[0])
            ),
            Form::Link => {
                format!("<p>{label}: <a href=\"{written}\" rel=\"me\">{written}</a></p>\n")
            }
        }
    }

    /// What stands before a number without a label: a name that is a label elsewhere, or else the label.
    fn told_by_name(&self) -> String {
        let names = ["The Dog Inn", "Valley Bank,", "To order:"];
        let speaks_english = self.site.country.language().starts_with("en");
        match names.get(self.site.index % names.len()) {
            Some(name) if speaks_english => (*name).to_owned(),
            _ => format!("{}:", escape(self.phrases.phone)),
        }
    }

    fn obfuscate(&self, address: &str) -> String {
        match self.site.index % 3 {
            0 => address.replace('@', " [at] ").replace('.', " [dot] "),
            1 => address.replace('@', "(at)"),
            _ => address.replace('@', " (at) ").replace('.', " (dot) "),
        }
    }

    fn decoy(&self, decoy: &PageDecoy) -> String {
        let value = escape(&decoy.value);
        let phrases = self.phrases;
        match decoy.kind {
            // The logo carries it.
            DecoyKind::ImageName => String::new(),
            DecoyKind::PlaceholderEmail => {
                format!("<p><input type=\"email\" name=\"email\" placeholder=\"{value}\"></p>\n")
            }
            DecoyKind::Timestamp => format!(
                "<p class=\"small\">{}: {value}</p>\n",
                escape(phrases.updated)
            ),
            DecoyKind::OrderNumber => format!("<p>{} {value}</p>\n", escape(phrases.order)),
            DecoyKind::TrackingId => format!(
                "<script>window.ga=window.ga||function(){{}};ga('create','{value}','auto');ga('set','id',{});</script>\n",
                self.page.seed
            ),
            DecoyKind::ErrorReporting => {
                format!(
                    "<script>var dsn = \"https://{value}/{}\";</script>\n",
                    self.page.seed % 1_000_000
                )
            }
            DecoyKind::Coordinates => {
                format!(
                    "<div id=\"map\" data-position=\"{value}\" data-zoom=\"15\">{value}</div>\n"
                )
            }
            DecoyKind::VatNumber => format!("<p>{}: {value}</p>\n", escape(phrases.vat)),
            DecoyKind::OpeningHours => format!("<p>{}: {value}</p>\n", escape(phrases.hours)),
            DecoyKind::RegisterNumber => format!("<p>{value}</p>\n"),
            DecoyKind::ShareLink => {
                format!("<p><a href=\"{value}\">{}</a></p>\n", escape(phrases.share))
            }
        }
    }

    fn decoys(&self, kind: DecoyKind) -> impl Iterator<Item = &PageDecoy> {
        self.page
            .decoys
            .iter()
            .filter(move |decoy| decoy.kind == kind)
    }

    /// The page's JSON-LD contacts as a schema.org business; empty when it has none.
    fn json_ld(&self) -> String {
        let of_kind = |kind: ContactKind| -> Vec<&str> {
            self.page
                .contacts
                .iter()
                .filter(|contact| contact.form == Form::JsonLd && contact.kind == kind)
                .map(|contact| contact.written.as_str())
                .collect()
        };
        let (emails, phones, profiles) = (
            of_kind(ContactKind::Email),
            of_kind(ContactKind::Phone),
            of_kind(ContactKind::Social),
        );
        if emails.is_empty() && phones.is_empty() && profiles.is_empty() {
            return String::new();
        }
        let site = self.site;
        let mut business = json!({
            "@context": "https://schema.org",
            "@type": site.trade.schema_type,
            "name": site.name,
            "url": site.url("/"),
            "address": {
                "@type": "PostalAddress",
                "streetAddress": site.street_line(),
                "addressLocality": site.town.name,
                "postalCode": site.postcode,
                "addressCountry": site.country.code(),
            },
        });
        if let Some(email) = emails.first() {
            business["email"] = json!(email);
        }
        if let Some(phone) = phones.first() {
            business["telephone"] = json!(phone);
        }
        if !profiles.is_empty() {
            business["sameAs"] = json!(profiles);
        }
        let further: Vec<Value> = emails
            .iter()
            .skip(1)
            .map(|email| json!({"@type": "ContactPoint", "email": email}))
            .chain(
                phones
                    .iter()
                    .skip(1)
                    .map(|phone| json!({"@type": "ContactPoint", "telephone": phone})),
            )
            .collect();
        if !further.is_empty() {
            business["contactPoint"] = Value::Array(further);
        }
        format!("<script type=\"application/ld+json\">{business}</script>\n")
    }
}

/// Writes every character as a numeric entity, decimal and hexadecimal in turn.
fn entities(text: &str) -> String {
    text.chars()
        .enumerate()
        .map(|(position, letter)| {
            let code = u32::from(letter);
            if position.is_multiple_of(2) {
                format!("&#{code};")
            } else {
                format!("&#x{code:x};")
            }
        })
        .collect()
}

/// Cloudflare's e-mail protection: a key byte, then every byte of the address combined with it, in hexadecimal.
fn cloudflare(address: &str, key: u8) -> String {
    let mut encoded = format!("{key:02x}");
    for byte in address.bytes() {
        encoded.push_str(&format!("{:02x}", byte ^ key));
    }
    encoded
}

impl Site {
    /// Whether a path the site does not know is answered with 200.
    pub(crate) fn answers_everything(&self) -> bool {
        self.behaviour == Behaviour::SoftNotFound
    }
}
