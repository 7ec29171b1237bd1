//! Writes a site's sitemaps as bytes.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::model::{Listing, Site, SitemapBody, SitemapFile};
use super::render::escape;

/// The body of a sitemap and its content type.
///
/// # Errors
///
/// Only what writing to memory can fail with.
pub(crate) fn write(site: &Site, sitemap: &SitemapFile) -> io::Result<(Vec<u8>, &'static str)> {
    let (text, content_type) = match &sitemap.body {
        SitemapBody::Urls(listings) => (url_set(site, listings), "application/xml"),
        SitemapBody::Index(children) => (index(site, children), "text/xml; charset=utf-8"),
        SitemapBody::Text(listings) => (plain(site, listings), "text/plain; charset=utf-8"),
        SitemapBody::Rss(listings) => (rss(site, listings), "application/rss+xml"),
    };
    if !sitemap.is_gzip {
        return Ok((text.into_bytes(), content_type));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    Ok((encoder.finish()?, "application/gzip"))
}

fn url_set(site: &Site, listings: &[Listing]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Namespaced, prefixed and bare: all are found on the web.
    let prefix = match site.index % 5 {
        0 => {
            xml.push_str("<urlset>\n");
            ""
        }
        1 => {
            xml.push_str("<sm:urlset xmlns:sm=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n");
            "sm:"
        }
        _ => {
            xml.push_str("<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n");
            ""
        }
    };
    for listing in listings {
        let url = escape(&site.url(&listing.listed));
        xml.push_str(&format!("  <{prefix}url><{prefix}loc>{url}</{prefix}loc>"));
        if let Some(lastmod) = &listing.lastmod {
            xml.push_str(&format!("<{prefix}lastmod>{lastmod}</{prefix}lastmod>"));
        }
        if listing.page == "/" {
            xml.push_str(&format!("<{prefix}priority>1.0</{prefix}priority>"));
        }
        xml.push_str(&format!("</{prefix}url>\n"));
    }
    xml.push_str(&format!("</{prefix}urlset>\n"));
    xml
}

fn index(site: &Site, children: &[String]) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    for child in children {
        xml.push_str(&format!(
            "  <sitemap><loc>{}</loc></sitemap>\n",
            escape(&site.url(child))
        ));
    }
    xml.push_str("</sitemapindex>\n");
    xml
}

fn plain(site: &Site, listings: &[Listing]) -> String {
    listings
        .iter()
        .map(|listing| site.url(&listing.listed) + "\n")
        .collect()
}

fn rss(site: &Site, listings: &[Listing]) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\"><channel>\n<title>{}</title>\n\
         <link>{}</link>\n<description>{}</description>\n",
        escape(&site.name),
        escape(&site.url("/")),
        escape(site.trade.tagline)
    );
    for listing in listings {
        let title = site
            .pages
            .get(&listing.page)
            .map_or("", |page| page.title.as_str());
        xml.push_str(&format!(
            "<item><title>{}</title><link>{}</link></item>\n",
            escape(title),
            escape(&site.url(&listing.listed))
        ));
    }
    xml.push_str("</channel></rss>\n");
    xml
}
