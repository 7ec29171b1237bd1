//! Tests of `extract::offer` on small pages of their own.

use serde_json::json;

use super::*;

const ADDRESS: &str = "https://shop.example.com/p/blue-lamp";

fn of(html: &str) -> Offer {
    offer(html, Some(&Url::parse(ADDRESS).unwrap()))
}

fn shown(offer: &Offer) -> (Option<String>, Option<&'static str>) {
    (
        offer.price.map(|price| price.to_string()),
        offer.currency.map(Currency::code),
    )
}

/// A page with JSON-LD and a heading.
fn with_data(data: &str) -> String {
    format!(
        r#"<html lang="en"><title>Blue lamp | Shop</title><script type="application/ld+json">{data}</script><h1>Blue lamp</h1>"#
    )
}

#[track_caller]
fn check(html: &str, price: &str, code: &str) -> Offer {
    let found = of(html);
    assert_eq!(
        shown(&found),
        (Some(price.to_owned()), Some(code)),
        "{html}\n{found:#?}"
    );
    found
}

#[track_caller]
fn check_none(html: &str) {
    let found = of(html);
    assert_eq!(found.price, None, "{html}\n{found:#?}");
    assert_eq!((found.confidence, found.sources.len()), (0.0, 0));
}

#[test]
fn everything_of_a_product_is_read() {
    let found = check(
        &with_data(
            r#"{"@context":"https://schema.org","@type":"Product","name":"Blue lamp","sku":"L-1","gtin13":"4006381333931",
            "mpn":"BL1","brand":{"@type":"Brand","name":"Lumen"},"image":["/i/lamp.jpg"],
            "offers":{"@type":"Offer","price":"1299.00","priceCurrency":"EUR","availability":"https://schema.org/InStock",
            "itemCondition":"https://schema.org/NewCondition"}}"#,
        ),
        "1299.00",
        "EUR",
    );
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        serde_json::json!({
            "title": "Blue lamp", "price": "1299.00", "currency": "EUR", "list_price": null,
            "availability": "InStock", "sku": "L-1", "gtin": "4006381333931", "mpn": "BL1",
            "brand": "Lumen", "image": "https://shop.example.com/i/lamp.jpg", "condition": "NewCondition",
            "sources": [{"source": "jsonld", "price": "1299.00", "currency": "EUR", "confidence": 0.95_f32}],
            "confidence": 0.95_f32,
        })
    );
}

#[test]
fn offers_are_read_in_all_their_forms() {
    for (offers, price) in [
        (
            r#"{"@type":"Offer","price":20,"priceCurrency":"USD"}"#,
            "20",
        ),
        (
            r#"[{"@type":"Offer","price":20,"priceCurrency":"USD"},{"@type":"Offer","price":30,"priceCurrency":"USD"}]"#,
            "20",
        ),
        (
            r#"{"@type":"AggregateOffer","lowPrice":"20","highPrice":"40","priceCurrency":"USD"}"#,
            "20",
        ),
        (
            r#"{"@type":"AggregateOffer","priceCurrency":"USD","offers":[{"price":25},{"price":20}]}"#,
            "20",
        ),
        (
            r#"{"@type":"Offer","priceSpecification":{"price":20,"priceCurrency":"USD"}}"#,
            "20",
        ),
        (r#"{"price":"$20","priceCurrency":"$"}"#, "20"),
        (r#"{"price":"20,00","priceCurrency":"usd"}"#, "20.00"),
        (
            r#"[{"price":30,"priceCurrency":"USD","availability":"OutOfStock"},{"price":20,"priceCurrency":"USD","availability":"InStock"}]"#,
            "20",
        ),
    ] {
        let data = format!(r#"{{"@type":"Product","name":"Blue lamp","offers":{offers}}}"#);
        check(&with_data(&data), price, "USD");
    }
}

#[test]
fn the_price_of_a_sale_is_told_from_the_list_price() {
    let found = check(
        &with_data(
            r#"{"@type":"Product","name":"Blue lamp","offers":{"priceCurrency":"EUR","priceSpecification":[
            {"price":"149.00","priceCurrency":"EUR"},
            {"price":"249.00","priceType":"https://schema.org/ListPrice"},
            {"price":"14.90","referenceQuantity":{"value":"1","unitCode":"KGM"}}]}}"#,
        ),
        "149.00",
        "EUR",
    );
    assert_eq!(found.list_price.unwrap().to_string(), "249.00");
}

#[test]
fn data_that_still_carry_the_former_price_are_corrected_by_the_page() {
    let html = with_data(
        r#"{"@type":"Product","name":"Blue lamp","offers":{"price":130,"priceCurrency":"USD"}}"#,
    ) + r#"<div class="product-price"><span class="price">$98.00</span> <del>$130.00</del></div><button>Add to cart</button>"#;
    let found = check(&html, "98.00", "USD");
    assert_eq!(found.list_price.unwrap().to_string(), "130");
}

#[test]
fn thousands_in_data_are_read_as_the_page_shows_them() {
    let data = r#"{"@type":"Product","name":"Blue lamp","offers":{"price":"1.299","priceCurrency":"EUR"}}"#;
    let html = with_data(data) + r#"<div class="price">1.299 €</div><button>Add to cart</button>"#;
    check(&html, "1299", "EUR");
    check(&with_data(data), "1.299", "EUR");
}

#[test]
fn the_variant_the_address_names_is_taken() {
    let data = r#"{"@type":"ProductGroup","name":"Blue lamp","hasVariant":[
        {"@type":"Product","name":"Blue lamp S","sku":"S","offers":{"url":"/p/blue-lamp?size=s","price":10,"priceCurrency":"USD","availability":"InStock"}},
        {"@type":"Product","name":"Blue lamp L","sku":"L","url":"https://shop.example.com/p/blue-lamp?size=l","offers":{"price":30,"priceCurrency":"USD","availability":"OutOfStock"}}]}"#;
    check(&with_data(data), "10", "USD");
    let large = Url::parse("https://shop.example.com/p/blue-lamp?size=l&utm_source=x").unwrap();
    let found = offer(&with_data(data), Some(&large));
    assert_eq!(shown(&found), (Some("30".to_owned()), Some("USD")));
    assert_eq!(found.availability, Some(Availability::OutOfStock));
    assert_eq!(found.sku.as_deref(), Some("L"));
}

#[test]
fn the_product_of_the_page_is_told_from_others() {
    let data = r#"{"@graph":[
        {"@type":"Product","name":"Red chair","offers":{"price":5,"priceCurrency":"USD"}},
        {"@type":"WebPage","mainEntity":{"@type":"Product","name":"Blue lamp","isRelatedTo":{"@type":"Product","name":"Green lamp","offers":{"price":7,"priceCurrency":"USD"}},
          "offers":{"price":20,"priceCurrency":"USD"}}},
        {"@type":"ItemList","itemListElement":[{"@type":"ListItem","item":{"@type":"Product","name":"Blue lamp mini","offers":{"price":6,"priceCurrency":"USD"}}}]}]}"#;
    check(&with_data(data), "20", "USD");
}

#[test]
fn a_page_without_a_product_of_its_own_has_no_price() {
    check_none(&with_data(
        r#"{"@type":"ItemList","itemListElement":[
        {"@type":"ListItem","item":{"@type":"Product","name":"Blue lamp one","offers":{"price":5,"priceCurrency":"USD"}}},
        {"@type":"ListItem","item":{"@type":"Product","name":"Blue lamp two","offers":{"price":6,"priceCurrency":"USD"}}}]}"#,
    ));
    let cards = r#"<li class="product-card"><a href="/p/1"><h3>Lamp one</h3><span class="price">$20.00</span></a></li>"#.repeat(12);
    check_none(&format!(
        "<title>Lamps</title><h1>Lamps</h1><ul class=product-grid>{cards}</ul>"
    ));
    check_none(
        "<title>How we work</title><h1>How we work</h1><p>It cost us $500 to find out, and much more to repair it in the end.</p>",
    );
    check_none("<h1>Blue lamp</h1><p>Free shipping on orders over $75</p>");
    check_none("");
}

#[test]
fn microdata_and_rdfa_say_the_same_as_json_ld() {
    let microdata = r#"<h1>Blue lamp</h1><div itemscope itemtype="https://schema.org/Product"><span itemprop="name">Blue lamp</span>
        <div itemprop="offers" itemscope itemtype="https://schema.org/Offer"><meta itemprop="priceCurrency" content="EUR">
        <span itemprop="price" content="1299.5">1 299,50</span><link itemprop="availability" href="https://schema.org/OutOfStock"></div></div>"#;
    let found = check(microdata, "1299.5", "EUR");
    assert_eq!(found.sources.first().unwrap().source, SourceKind::Microdata);
    assert_eq!(found.availability, Some(Availability::OutOfStock));
    let rdfa = r#"<h1>Blue lamp</h1><div vocab="https://schema.org/" typeof="Product"><span property="name">Blue lamp</span>
        <div property="offers" typeof="Offer"><span property="price">1299.50</span><meta property="priceCurrency" content="EUR"></div></div>"#;
    let found = check(rdfa, "1299.50", "EUR");
    assert_eq!(found.sources.first().unwrap().source, SourceKind::Rdfa);
    // A price outside of any item.
    check(
        r#"<h1>Blue lamp</h1><b itemprop="price">$20.00</b>"#,
        "20.00",
        "USD",
    );
}

#[test]
fn meta_elements_name_price_list_price_and_stock() {
    let found = check(
        r#"<meta property="og:title" content="Blue lamp"><meta property="product:price:amount" content="149">
        <meta property="product:price:currency" content="EUR"><meta property="product:original_price:amount" content="198.99996">
        <meta property="product:availability" content="oos"><meta property="product:brand" content="Lumen">"#,
        "149",
        "EUR",
    );
    assert_eq!(found.list_price.unwrap().to_string(), "199.00");
    assert_eq!(found.availability, Some(Availability::OutOfStock));
    assert_eq!(
        (found.title.as_deref(), found.brand.as_deref()),
        (Some("Blue lamp"), Some("Lumen"))
    );
    check(
        r#"<h1>Blue lamp</h1><meta name="twitter:label1" content="Price"><meta name="twitter:data1" content="€49.99">"#,
        "49.99",
        "EUR",
    );
}

#[test]
fn products_in_scripts_are_found_by_name() {
    for script in [
        r#"<script id="__NEXT_DATA__" type="application/json">{"props":{"product":{"name":"Blue lamp","price":{"value":20.5,"currency":"USD"}},"related":[{"name":"Red chair","price":5}]}}</script>"#,
        r#"<script>window.__INITIAL_STATE__ = {product: {title: 'Blue lamp', price: 20.5, currencyCode: 'USD',}};</script>"#,
        r#"<script>dataLayer.push({"ecommerce":{"currency":"USD","items":[{"item_name":"Blue lamp","price":20.5}]}});</script>"#,
        r#"<script>fbq('track','ViewContent',{content_name:"Blue lamp",value:20.5,currency:"USD"});</script>"#,
        r#"<script>Shopify.currency = {"active":"USD"}; var meta = {"product":{"id":1,"handle":"blue-lamp","variants":[{"price":2050,"name":"Blue lamp - S"}]}};</script>"#,
    ] {
        let html = format!("<title>Blue lamp</title><h1>Blue lamp</h1>{script}");
        let found = of(&html);
        assert_eq!(found.price, "20.5".parse().ok(), "{script}\n{found:#?}");
        assert_eq!(found.currency.map(Currency::code), Some("USD"), "{script}");
        assert_eq!(
            found.sources.first().unwrap().source,
            SourceKind::ScriptData
        );
    }
    check_none(
        r#"<title>Blue lamp</title><h1>Blue lamp</h1><script>var x = {"name":"Red chair","price":5};</script>"#,
    );
}

#[test]
fn the_price_a_buyer_sees_is_found() {
    let page = |product: &str| {
        format!(
            r#"<html lang="en"><title>Blue lamp - Shop</title><header><div class="mini-cart">Subtotal $0.00</div><p>Free shipping over $75</p></header>
            <main><h1>Blue lamp</h1>{product}<button type="submit">Add to cart</button>
            <p class="financing">or 4 payments of $5.00 with Pay</p></main>
            <section class="related-products"><h2>You may also like</h2><div class="product-card"><a href="/p/2">Red chair <span class="price">$7.00</span></a></div></section>
            <footer>Gift cards from $10</footer>"#
        )
    };
    for (product, price) in [
        (r#"<div class="price">$20.00</div>"#, "20.00"),
        (r"<p>$20.00</p>", "20.00"),
        (
            r#"<span class="price"><del>$30.00</del> <ins>$20.00</ins></span>"#,
            "20.00",
        ),
        (
            r#"<span class="old-price">$30.00</span><span class="price">$20.00</span>"#,
            "20.00",
        ),
        (
            r#"<div class="price">Was $30.00</div><div class="price">Now $20.00</div>"#,
            "20.00",
        ),
        (
            r#"<div class="price"><span>$</span><span>20</span><sup>00</sup></div>"#,
            "20.00",
        ),
        (
            r#"<div class="price"><span>USD</span> <span>1,299</span><span>.95</span></div>"#,
            "1299.95",
        ),
        (
            r#"<div class="price">$20.00</div><div class="unit-price">$2.00 / 100 g</div>"#,
            "20.00",
        ),
        (r#"<div class="price">Free</div>"#, "0"),
    ] {
        let found = of(&page(product));
        assert_eq!(found.price, price.parse().ok(), "{product}\n{found:#?}");
        assert_eq!(found.sources.first().unwrap().source, SourceKind::HtmlMl);
        assert_eq!(found.availability, Some(Availability::InStock), "{product}");
        assert_eq!(found.title.as_deref(), Some("Blue lamp"));
    }
    let found = of(&page(
        r#"<span class="price"><del>$30.00</del> <ins>$20.00</ins></span>"#,
    ));
    assert_eq!(found.list_price.unwrap().to_string(), "30.00");
}

#[test]
fn the_currency_of_an_ambiguous_sign_is_that_of_the_page() {
    let html = r#"<html lang="sv-SE"><h1>Blå lampa</h1><div class="price">1 299 kr</div><button>Lägg i varukorg</button>"#;
    check(html, "1299", "SEK");
    let html = r#"<h1>Blue lamp</h1><div class="price">$20.00</div><button>Add to cart</button>"#;
    let url = Url::parse("https://shop.example.com.au/p/lamp").unwrap();
    assert_eq!(
        offer(html, Some(&url)).currency.map(Currency::code),
        Some("AUD")
    );
}

#[test]
fn a_page_says_in_its_language_that_nothing_is_left() {
    for (html, wanted) in [
        (
            r#"<h1>Lampe</h1><div class="price">kr 99</div><p class="stock">Ikke på lager</p>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<h1>Lampe</h1><div class="price">99 €</div><p class="availability">Ausverkauft</p><button disabled>In den Warenkorb</button>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<h1>Lamp</h1><div class="price">$99</div><button disabled>Sold out</button>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<h1>Lamp</h1><div class="price">$99</div><button>Notify me when available</button>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<h1>Lamp</h1><div class="price">$99</div><p>Out of stock</p>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<h1>Lamp</h1><div class="price">$99</div><p class="stock">0 in stock</p>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<h1>Lamp</h1><div class="price">$99</div><button>Pre-order</button>"#,
            Availability::PreOrder,
        ),
        (
            r#"<h1>Lampa</h1><div class="price">99 zł</div><p class="stock">Dostępny</p>"#,
            Availability::InStock,
        ),
        (
            r#"<h1>Lamp</h1><div class="price">$99 <span class="badge sold-out">Sold out</span></div><button>Add to cart</button>"#,
            Availability::InStock,
        ),
    ] {
        assert_eq!(of(html).availability, Some(wanted), "{html}");
    }
}

#[test]
fn agreement_raises_the_confidence_and_disagreement_lowers_it() {
    let data =
        r#"{"@type":"Product","name":"Blue lamp","offers":{"price":20,"priceCurrency":"USD"}}"#;
    let meta =
        |amount: &str| format!(r#"<meta property="product:price:amount" content="{amount}">"#);
    let alone = of(&with_data(data)).confidence;
    let agreed = of(&(with_data(data) + &meta("20.00"))).confidence;
    let disputed = of(&(with_data(data) + &meta("25"))).confidence;
    assert!(
        disputed < alone && alone < agreed && agreed <= 1.0,
        "{disputed} {alone} {agreed}"
    );
}

#[test]
fn a_zero_of_a_template_is_no_price() {
    let data =
        r#"{"@type":"Product","name":"Blue lamp","offers":{"price":"0","priceCurrency":"USD"}}"#;
    check_none(&with_data(data));
    check(
        &(with_data(data) + r#"<div class="price">Free</div>"#),
        "0",
        "USD",
    );
}

#[test]
fn a_gtin_needs_a_right_check_digit() {
    for (text, wanted) in [
        ("4006381333931", Some("4006381333931")),
        ("978-3-16-148410-0", Some("9783161484100")),
        ("urn:isbn:9783161484100", Some("9783161484100")),
        ("4006381333932", None),
        ("0000000000000", None),
        ("12345", None),
        ("L-1", None),
    ] {
        assert_eq!(product::valid_gtin(text).as_deref(), wanted, "{text}");
    }
}

#[test]
fn data_are_read_however_they_are_spelled() {
    for (data, price) in [
        // Types in lower case, a boolean, an availability with a slash.
        (
            r#"{"@type":"product","name":"Blue lamp","offers":{"@type":"offer","price":"20","priceCurrency":"USD","availability":false}}"#,
            "20",
        ),
        // A flat graph whose nodes name each other.
        (
            r##"{"@graph":[{"@type":"Product","name":"Blue lamp","offers":{"@id":"#o"}},{"@type":"Offer","@id":"#o","price":"20","priceCurrency":"USD","availability":"OutOfStock/"}]}"##,
            "20",
        ),
        // JSON in a JSON string.
        (
            r#""{\"@type\":\"Product\",\"name\":\"Blue lamp\",\"offers\":{\"price\":\"20\",\"priceCurrency\":\"USD\",\"availability\":\"SoldOut\"}}""#,
            "20",
        ),
        // An aggregate that knows nothing itself.
        (
            r#"{"@type":"Product","name":"Blue lamp","offers":{"lowPrice":"0","priceCurrency":"USD","offers":[{"price":"20","availability":"OutOfStock"}]}}"#,
            "20",
        ),
        // Without and with tax.
        (
            r#"{"@type":"Product","name":"Blue lamp","offers":{"availability":"OutOfStock","priceSpecification":[{"price":"16","priceCurrency":"USD","valueAddedTaxIncluded":false},{"price":"20","priceCurrency":"USD","valueAddedTaxIncluded":true}]}}"#,
            "20",
        ),
    ] {
        let found = check(&with_data(data), price, "USD");
        assert_eq!(found.availability, Some(Availability::OutOfStock), "{data}");
    }
}

#[test]
fn prices_in_pieces_are_joined() {
    for (product, price) in [
        (
            r#"<div class="price"><span>$</span> <span class="price-integer">2</span><span>,</span><span class="price-integer">999</span><span>.</span><span>90</span></div>"#,
            "2999.90",
        ),
        (
            r#"<div class="price"><span><i>$</i><b class="price-integer">79</b></span><span><i>.</i>99</span></div>"#,
            "79.99",
        ),
        (r#"<div class="price">24<sup>$90</sup></div>"#, "24.90"),
    ] {
        check(
            &format!("<h1>Blue lamp</h1>{product}<button>Add to cart</button>"),
            price,
            "USD",
        );
    }
}

#[test]
fn prices_of_alike_elements_with_links_are_those_of_a_list() {
    let tiles = |count: usize| {
        r#"<div class="tile"><a href="/p/1"><img></a><p>Lamp</p><div class="price">$12.90</div></div>"#
            .repeat(count)
    };
    check_none(&format!("<h1>Lamps</h1><div>{}</div>", tiles(3)));
    check(
        &format!(
            r#"<h1>Blue lamp</h1><div>$20.00</div><button>Add to cart</button>{}"#,
            tiles(4)
        ),
        "20.00",
        "USD",
    );
    // An article about things that cost something.
    check_none(
        r#"<script type="application/ld+json">{"@type":"BlogPosting","headline":"Best lamps"}</script><h1>Best lamps</h1><p class="price">$129.00</p>"#,
    );
}

#[test]
fn the_former_price_is_told_by_the_words_of_both() {
    let html = r#"<html lang="pt-BR"><h1>Blue lamp</h1><div class="preco"><p>De R$ 899,00</p><p>por <b>R$ 699,00</b></p><p>ou 10x de R$ 69,90 sem juros</p></div>"#;
    let found = check(html, "699.00", "BRL");
    assert_eq!(found.list_price.unwrap().to_string(), "899.00");
}

#[test]
fn a_name_says_nothing_about_the_price() {
    check(
        r#"<h1>Old radio</h1><div class="price">$59.00</div>"#,
        "59.00",
        "USD",
    );
}

#[test]
fn the_shops_own_name_is_no_title() {
    let html = r#"<title>Blue lamp – Lumen</title><meta property="og:site_name" content="Lumen"><header><h1>Lumen</h1></header><h2 class="product-name">Blue lamp</h2><div class="price">$20.00</div>"#;
    assert_eq!(of(html).title.as_deref(), Some("Blue lamp"));
    let html = "<title>Blue lamp | Example US</title>";
    assert_eq!(of(html).title.as_deref(), Some("Blue lamp"));
}

#[test]
fn a_price_without_a_sign_has_the_money_of_the_country() {
    let html = r#"<html lang="nb-NO"><h1>Blå lampe</h1><div class="price">1 299,-</div><button>Legg i handlekurv</button>"#;
    check(html, "1299", "NOK");
}

#[test]
fn former_price_stock_and_brand_stand_deep_in_scripts() {
    let state = r#"<title>Blue lamp</title><h1>Blue lamp</h1><script type="application/json">{"product":{"name":"Blue lamp","brand":{"name":"Lumen"},
        "price":{"current":{"value":20},"regular":{"value":30},"currency":"USD"},"availability":{"isInStock":false}}}</script>"#;
    let found = check(state, "20", "USD");
    assert_eq!(found.list_price.unwrap().to_string(), "30");
    assert_eq!(found.brand.as_deref(), Some("Lumen"));
    assert_eq!(found.availability, Some(Availability::OutOfStock));
    let cents = |currency: &str| {
        format!(
            r#"<title>Blue lamp</title><h1>Blue lamp</h1><script type="application/json">{{"name":"Blue lamp","masterVariant":{{"price":{{"value":{{"centAmount":4500,"currencyCode":"{currency}"}}}}}}}}</script>"#
        )
    };
    check(&cents("EUR"), "45.00", "EUR");
    check(&cents("JPY"), "4500", "JPY");
    let html = r#"<h1>Blue lamp</h1><meta property="product:price:amount" content="30"><meta property="product:sale_price:amount" content="$20">
        <meta property="og:price:amount" content="$30">"#;
    assert_eq!(of(html).list_price.unwrap().to_string(), "30");
}

#[test]
fn stock_is_read_from_buttons_and_longer_texts() {
    for (html, wanted) in [
        (
            r#"<h1>Lamp</h1><p class="price">$99</p><button class="add-to-cart" disabled>Add to cart</button>"#,
            Availability::InStock,
        ),
        (
            r#"<h1>Lamp</h1><p class="price">$99</p><button class="product-add-to-cart">Choose size</button>"#,
            Availability::InStock,
        ),
        (
            r#"<h1>Lamp</h1><div class="product-buy"><div class="nav-col"><button>Add to cart</button></div></div>"#,
            Availability::InStock,
        ),
        (
            r#"<h1>Lampe</h1><div id="availability"><span>Derzeit nicht verfügbar.</span> Ob und wann dieser Artikel wieder vorrätig sein wird, ist unbekannt; Sie werden benachrichtigt.</div>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<h1>Lampe</h1><div id="availability"><span>Derzeit nicht verfügbar.</span> Ob und wann der Artikel wieder vorrätig sein wird, ist unbekannt.</div>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<div id="shop"><button>0 ürün - 0,00TL</button></div><h1>Lamba</h1><p class="stock">Stokta var</p>"#,
            Availability::InStock,
        ),
        (
            r#"<h1>Lamp</h1><form class="variations_form"><p class="stock">Out of stock</p></form>"#,
            Availability::OutOfStock,
        ),
        (
            r#"<h1>Lampe</h1><p class="stock">Plus que 2 en stock</p>"#,
            Availability::LimitedAvailability,
        ),
        (
            r#"<h1>ランプ</h1><p class="stock">残り2点</p>"#,
            Availability::LimitedAvailability,
        ),
    ] {
        assert_eq!(of(html).availability, Some(wanted), "{html}");
    }
}

#[test]
fn hostile_pages_cost_little() {
    let deep = "<div class=price>".repeat(50_000) + "$20";
    let _found = of(&deep);
    let many = "<p class=price>$20.00</p>".repeat(50_000);
    let _found = of(&format!("<h1>Blue lamp</h1>{many}"));
    let nested = format!("<script>var a = {}1</script>", "{price:[".repeat(50_000));
    let _found = of(&nested);
    let items =
        "<div itemscope itemtype=Product itemprop=x>".repeat(20_000) + "<b itemprop=price>5</b>";
    let _found = of(&items);
}

proptest::proptest! {
    #[test]
    fn no_page_makes_it_panic(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "<h1>", "Blue lamp", "</h1>", "<div class=price>", "$20.00", "</div>", "<del>", "1.299,00 €", "</del>",
            "<script type=application/ld+json>", "{\"@type\":\"Product\",\"offers\":", "{\"price\":", "\"20\"", "}", "]", "[",
            "</script>", "<script>", "var x = ", "<meta property=og:price:amount content=5>", "<button disabled>",
            "Add to cart", "<p itemprop=price itemscope>", "<a href=/x>", "0 in stock", "Free", "\u{0}", "é", ",", "\"",
        ]), 0..60)
    ) {
        let found = of(&parts.concat());
        proptest::prop_assert!((0.0..=1.0).contains(&found.confidence));
        proptest::prop_assert_eq!(found.price.is_some(), !found.sources.is_empty());
    }
}

/// An object is copied to each place that names it: a large one, named very often, would be a bomb.
#[test]
fn only_small_objects_are_put_where_they_are_named() {
    let roots = |bytes: usize| {
        let note = "x".repeat(bytes);
        vec![
            json!({"@type": "Product", "offers": {"@id": "#o"}}),
            json!({"@type": "Offer", "@id": "#o", "price": "20", "note": note}),
        ]
    };
    let put = product::with_references(roots(100));
    assert_eq!(put[0]["offers"]["price"], "20");
    let put = product::with_references(roots(100_000));
    assert_eq!(put[0]["offers"], json!({"@id": "#o"}));
}
