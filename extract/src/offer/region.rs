//! What an element is, by its name and by the words in its `class`, `id` and test attributes.

use std::sync::LazyLock;

use scraper::node::Element;

use crate::html::Attributes;
use crate::naming::{NameWords, dashed_names};

/// What an element says about what is in it.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks, not states"
)]
pub(super) struct Traits {
    /// A price.
    pub(super) is_price: bool,
    /// Today's price of several.
    pub(super) is_now: bool,
    /// A former or recommended price.
    pub(super) is_old: bool,
    /// Struck out.
    pub(super) is_struck: bool,
    /// Set larger than text.
    pub(super) is_large: bool,
    /// Where the page's own product stands.
    pub(super) is_product_area: bool,
    /// Other products.
    pub(super) is_related: bool,
    /// One of several products.
    pub(super) is_card: bool,
    /// Header, navigation, footer.
    pub(super) is_boilerplate: bool,
    /// The shopping basket.
    pub(super) is_basket: bool,
    /// A link to another page.
    pub(super) is_link: bool,
    /// Not shown.
    pub(super) is_hidden: bool,
    /// Delivery, instalments, reviews, gift cards: amounts that are no price of the product.
    pub(super) is_extra: bool,
    /// One of the choices of the product (size, colour, quantity).
    pub(super) is_choice: bool,
    /// Whether it is in stock.
    pub(super) is_stock: bool,
    /// A badge or flag on a picture or price.
    pub(super) is_badge: bool,
    /// A button that buys, whatever the element.
    pub(super) is_cart_button: bool,
    /// The digits behind the point of a price.
    pub(super) is_cents: bool,
    /// The mark of a footnote.
    pub(super) is_footnote: bool,
    /// The shop's number of the product.
    pub(super) is_article: bool,
}

impl Traits {
    /// Whether what is in it belongs to something else than the page's product.
    pub(super) fn is_foreign(&self) -> bool {
        self.is_related || self.is_card || self.is_boilerplate || self.is_basket
    }
}

/// The traits of an element by itself.
pub(super) fn traits(element: &Element) -> Traits {
    let name = element.name();
    let found = WORDS.found_in(&dashed_names(element));
    let has = |group: Group| found & (1 << group as u32) != 0;
    let style = element.attribute("style").unwrap_or_default();
    let is_style_hidden = ["display:none", "display: none", "visibility:hidden"]
        .iter()
        .any(|hiding| style.contains(hiding));
    Traits {
        is_price: has(Group::Price),
        is_now: name == "ins" || has(Group::Now),
        is_old: has(Group::Old),
        is_struck: matches!(name, "del" | "s" | "strike")
            || has(Group::Struck)
            || style.contains("line-through"),
        is_large: matches!(name, "h1" | "h2" | "h3" | "h4") || has(Group::Large),
        is_product_area: has(Group::ProductArea),
        is_related: has(Group::Related),
        is_card: has(Group::Card),
        is_boilerplate: matches!(name, "header" | "nav" | "footer") || has(Group::Boilerplate),
        is_basket: has(Group::Basket),
        is_link: name == "a"
            && element
                .attribute("href")
                .is_some_and(|href| !href.starts_with('#') && !href.starts_with("javascript")),
        is_hidden: element.attribute("hidden").is_some() || is_style_hidden || has(Group::Hidden),
        is_extra: has(Group::Extra),
        // The form around a product's choices holds its price and button too.
        is_choice: matches!(name, "option" | "label") || has(Group::Choice) && name != "form",
        is_stock: has(Group::Stock),
        is_badge: has(Group::Badge),
        is_cart_button: has(Group::CartButton),
        is_cents: has(Group::Cents),
        is_footnote: has(Group::Footnote),
        is_article: has(Group::Article),
    }
}

static WORDS: LazyLock<NameWords> = LazyLock::new(|| {
    NameWords::new(include_str!("../data/element_words.txt"), |name| {
        Some(Group::named(name)? as u32)
    })
});

/// What a word in an element's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Price,
    Now,
    Old,
    Struck,
    Large,
    ProductArea,
    Related,
    Card,
    Boilerplate,
    Basket,
    Hidden,
    Extra,
    Choice,
    Stock,
    Badge,
    CartButton,
    Cents,
    Footnote,
    Article,
}

impl Group {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "price" => Self::Price,
            "now" => Self::Now,
            "old" => Self::Old,
            "struck" => Self::Struck,
            "large" => Self::Large,
            "area" => Self::ProductArea,
            "related" => Self::Related,
            "card" => Self::Card,
            "boilerplate" => Self::Boilerplate,
            "basket" => Self::Basket,
            "hidden" => Self::Hidden,
            "extra" => Self::Extra,
            "choice" => Self::Choice,
            "stock" => Self::Stock,
            "badge" => Self::Badge,
            "button" => Self::CartButton,
            "cents" => Self::Cents,
            "footnote" => Self::Footnote,
            "article" => Self::Article,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use scraper::Html;

    use super::*;

    fn of(html: &str) -> Traits {
        let fragment = Html::parse_fragment(html);
        let element = fragment.root_element().child_elements().next().unwrap();
        traits(element.value())
    }

    #[test]
    fn names_are_read_word_by_word() {
        assert!(of(r#"<p class="ProductPrice">"#).is_price);
        assert!(of(r#"<p class="price__old">"#).is_old);
        assert!(of(r#"<p class="oldPrice">"#).is_old);
        assert!(!of(r#"<p class="font-bold">"#).is_old);
        assert!(!of(r#"<p class="snow">"#).is_now);
        assert!(of("<del>").is_struck);
        assert!(of(r#"<p style="text-decoration: line-through">"#).is_struck);
        assert!(of(r#"<section id="Related_Products">"#).is_related);
        assert!(of(r#"<a href="/x">"#).is_link && !of(r##"<a href="#x">"##).is_link);
        assert!(of(r#"<div hidden>"#).is_hidden && of(r#"<div style="display: none">"#).is_hidden);
    }

    #[test]
    fn every_word_of_the_table_makes_its_group() {
        WORDS.check(include_str!("../data/element_words.txt"), |name| {
            Group::named(name).map(|group| group as u32)
        });
    }
}
