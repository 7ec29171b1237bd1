//! Tests of `extract::contacts`.

use super::*;
use crate::html::decode;

fn contacts(html: &str, region: Option<&str>) -> Contacts {
    let url = Url::parse("https://www.acme.com/contact").unwrap();
    extract(
        &Page::parse(html),
        &url,
        &Options {
            default_region: region,
        },
    )
}

fn emails(html: &str) -> Vec<String> {
    contacts(html, None)
        .emails
        .into_iter()
        .map(|email| email.value)
        .collect()
}

fn phones(html: &str, region: Option<&str>) -> Vec<String> {
    contacts(html, region)
        .phones
        .into_iter()
        .map(|phone| phone.e164)
        .collect()
}

/// Acceptance fixture F14.
#[test]
fn emails_phones_and_no_assets_in_a_stable_order() {
    let html = r#"<html lang="en-US"><script type="application/ld+json">
        {"@type":"LocalBusiness","name":"Acme Ltd","telephone":"(212) 334-5100","faxNumber":"+1 212 334 5101",
         "address":{"@type":"PostalAddress","streetAddress":"1 Main St","postalCode":"10001","addressLocality":"New York","addressCountry":"US"}}
        </script>
        <img src="/logo@2x.png" alt="logo@2x.png"><a href="mailto:Sales@Acme.com?subject=a@b.com">write</a>
        <p>or info@acme.com, or noreply@acme.com.</p><p>background: url(logo@2x.png)</p>
        <a href="tel:+1-800-426-4840">call</a>"#;
    let found = contacts(html, None);
    let values: Vec<&str> = found
        .emails
        .iter()
        .map(|email| email.value.as_str())
        .collect();
    assert_eq!(
        values,
        ["sales@acme.com", "info@acme.com", "noreply@acme.com"]
    );
    assert_eq!(found.emails[0].source, Source::Mailto);
    assert!(found.emails[2].is_no_reply && found.emails[2].confidence < 0.3);
    let numbers: Vec<(&str, PhoneKind)> = found
        .phones
        .iter()
        .map(|phone| (phone.e164.as_str(), phone.kind))
        .collect();
    assert_eq!(
        numbers,
        [
            ("+18004264840", PhoneKind::Voice),
            ("+12123345101", PhoneKind::Fax),
            ("+12123345100", PhoneKind::Voice)
        ]
    );
    assert_eq!(found.name.as_deref(), Some("Acme Ltd"));
    assert_eq!(
        found.address.as_deref(),
        Some("1 Main St, 10001 New York, US")
    );
    assert_eq!(contacts(html, None), found);
}

#[test]
fn addresses_are_found_wherever_they_hide() {
    let check = |html: &str, expected: &[&str]| assert_eq!(emails(html), expected, "{html}");
    check(
        "<a href='MAILTO:a@firm.de,b@firm.de;c@firm.de?cc=d@firm.de'>",
        &["a@firm.de", "b@firm.de", "c@firm.de", "d@firm.de"],
    );
    check(
        "<a href='mailto:%20info@firm.com'>x</a>",
        &["info@firm.com"],
    );
    check(
        "<a href='mailto://info@firm.com%20'>x</a>",
        &["info@firm.com"],
    );
    check(
        "<a href='mailto:Jo Doe &lt;jo@firm.com&gt;'>x</a>",
        &["jo@firm.com"],
    );
    check("<a href='info@firm.com'>x</a>", &["info@firm.com"]);
    check("%20info@firm.com", &["info@firm.com"]);
    check("&#105;nfo&#64;firm.com", &["info@firm.com"]);
    check("in<b>fo</b>@<i>firm</i>.co<b>.uk</b>", &["info@firm.co.uk"]);
    check("<b>E-mail</b>info@firm.com<b>Phone</b>", &["info@firm.com"]);
    check(
        "<span>05244</span><span>info@firm.com</span><span>Tel</span>",
        &["info@firm.com"],
    );
    check("Mail info@firm.com.Call us", &["info@firm.com"]);
    check("info@firm.comPhone", &["info@firm.com"]);
    check(
        "(info@firm.com), 'jo@firm.com'; <jo2@firm.com>",
        &["info@firm.com", "jo@firm.com"],
    );
    check("info [at] firm (dot) com", &["info@firm.com"]);
    check(
        "<a href='/cdn-cgi/l/email-protection#5a33343c351a3c3328377439353700' data-cfemail='5a33343c351a3c33283774393537'>[email&#160;protected]</a>",
        &["info@firm.com"],
    );
    check(
        "<div data-user=info data-domain=firm.com></div>",
        &["info@firm.com"],
    );
    check(
        "<p itemprop=email content=info@firm.com>",
        &["info@firm.com"],
    );
    check(
        "<script>document.write('info'+'@'+'firm.com')</script>",
        &["info@firm.com"],
    );
    check(
        "<p>info@<span style='display:none'>null</span>firm.com",
        &["info@firm.com"],
    );
    check("info@bücher.de", &["info@xn--bcher-kva.de"]);
    check(
        "<input type=hidden name=recipient value=form@firm.com>",
        &["form@firm.com"],
    );
}

#[test]
fn addresses_are_found_however_they_are_hidden() {
    let check = |html: &str, expected: &[&str]| assert_eq!(emails(html), expected, "{html}");
    check(
        "<a href=\"javascript:linkTo_UnCryptMailto('nbjmup+kpAgjsn/dpn');\">x</a>",
        &["jo@firm.com"],
    );
    check(
        "<a href=\"javascript:linkTo_UnCryptMailto(%27nbjmup+kpAgjsn/dpn%27);\">x</a>",
        &["jo@firm.com"],
    );
    check(
        "<a data-mailto-token='nbjmup+kpAgjsn/dpn'>",
        &["jo@firm.com"],
    );
    check(
        "<a href=\"javascript:mail('jo','firm.com')\">",
        &["jo@firm.com"],
    );
    check(
        "<joomla-hidden-mail first='am8=' last='ZmlybS5jb20='>",
        &["jo@firm.com"],
    );
    check("<a data-email='am9AZmlybS5jb20='>", &["jo@firm.com"]);
    check("<a data-enc-email='wb[ng]svez.pbz'>", &["jo@firm.com"]);
    check(
        "<a data-name=jo data-domain=firm data-tld=com>",
        &["jo@firm.com"],
    );
    check("<b class=turned>moc.mrif@oj</b>", &["jo@firm.com"]);
    check("<a href='http://jo@firm.com'>", &["jo@firm.com"]);
    check("<a href='http://mailto:jo@firm.com'>", &["jo@firm.com"]);
    check("<a href='mail:jo@firm.com'>", &["jo@firm.com"]);
    check("<a href='maito:jo@firm.com'>", &["jo@firm.com"]);
    check("<a href='sip:jo@firm.com'>", &[]);
}

#[test]
fn an_address_is_cut_out_of_what_it_runs_into() {
    let check = |html: &str, expected: &[&str]| assert_eq!(emails(html), expected, "{html}");
    check("E-mailinfo@firm.com", &["info@firm.com"]);
    check("mailservice@firm.com", &["mailservice@firm.com"]);
    check("030-1234567info@firm.com", &["info@firm.com"]);
    check("1234567@firm.com", &["1234567@firm.com"]);
    check("info@firm.jpまで", &["info@firm.jp"]);
    check("邮箱info@firm.cn。", &["info@firm.cn"]);
    check("o'neill@firm.com", &["o'neill@firm.com"]);
    check("'jo@firm.com'", &["jo@firm.com"]);
    check("jörg@firm.de", &[]);
    check("ftp://user:secret@firm.com/x", &[]);
}

/// However an address was written, what runs into it is cut off, so that it is the same when it is read again.
#[test]
fn what_runs_into_a_hidden_address_is_cut_off_too() {
    for (html, expected) in [
        ("Tel: 030 00000info@da.de<.>a", "info@da.de"),
        ("Tel: 030 1234567info [at] firm [dot] de", "info@firm.de"),
        ("030-7654321sales (at) firm.de", "sales@firm.de"),
        ("E-Mail: 0301234567info @ firm.de", "info@firm.de"),
        (
            "<a href='http://0301234567info@firm.de'>x</a>",
            "info@firm.de",
        ),
        (
            "<a href='mailto:0301234567info(at)firm.de'>x</a>",
            "info@firm.de",
        ),
        (
            "<p data-user='0301234567info' data-domain='firm.de'>",
            "info@firm.de",
        ),
        (
            "<p title='0301234567info (at) firm.de' data-x='0301234567info (at) firm.de'>",
            "info@firm.de",
        ),
        ("<span>ed.mrif@ofni7654321030</span>", "info@firm.de"),
        ("E-MAILinfo@firm.de", "info@firm.de"),
        ("E-MAILINFO (at) firm.de", "info@firm.de"),
        // A number that belongs to the name stays.
        ("12345jo (at) firm.de", "12345jo@firm.de"),
        ("1234info (at) firm.de", "1234info@firm.de"),
    ] {
        assert_eq!(emails(html), [expected], "{html}");
        let again = format!("<a href='mailto:{expected}'>x</a>");
        assert_eq!(emails(&again), [expected], "{html}");
    }
}

#[test]
fn what_only_looks_like_an_address_is_refused() {
    let all = "logo@2x.png icon@3x.jpg logo@2x-1.webp a@2x.zip jquery@3.6.0 user@localhost you@domain.com \
        name@company.com your@email.com john@example.com me@example.co.uk x@test.com \
        605a7baede844d278b89dc95ae0a9123@sentry-next.wixpress.com \
        8c4075d5481d476e945486754f783364@firm.com 550e8400-e29b-41d4-a716-446655440000@firm.com \
        @media a@b a..b@firm.com .@firm.com info@firm.notatld info@co.uk youremail@gmail.com \
        user@gmail.com yourmail@mail.de email@email.com";
    assert_eq!(emails(all), Vec::<String>::new());
    for word in all.split_whitespace() {
        assert_eq!(
            emails(&format!(
                "<a title='{word}' href='mailto:{word}'>{word}</a>"
            )),
            Vec::<String>::new()
        );
    }
    let input =
        "<input placeholder='jo@firm.com' value='jo@firm.com'><img src='/jo@firm.com/x.png'>";
    assert_eq!(emails(input), Vec::<String>::new());
    for link in ["+a@firm.com", "-a@firm.com", ".a@firm.com"] {
        assert_eq!(
            emails(&format!("<a href='{link}'>x</a>")),
            Vec::<String>::new()
        );
    }
}

#[test]
fn mailboxes_are_classified() {
    let found = contacts(
        "info@acme.com jane@acme.com jane@gmail.com jane@other.org sales.uk@other.org",
        None,
    );
    let kinds: Vec<EmailKind> = found.emails.iter().map(|email| email.kind).collect();
    assert_eq!(
        kinds,
        [
            EmailKind::Service,
            EmailKind::Corporate,
            EmailKind::Free,
            EmailKind::Unknown,
            EmailKind::Service
        ]
    );
}

#[test]
fn numbers_are_read_in_the_country_of_the_page() {
    let check = |html: &str, region: Option<&str>, expected: &[&str]| {
        assert_eq!(phones(html, region), expected, "{html} {region:?}");
    };
    check("Tel: 020 7946 0000", Some("GB"), &["+442079460000"]);
    check("Tel: 020 7946 0000", None, &[]);
    check("Tel: +44 (0)20 7946 0000", None, &["+442079460000"]);
    check("Tel: 0044 20 7946 0000", None, &["+442079460000"]);
    check(
        "<html lang=en-GB>Tel: 020 7946 0000",
        None,
        &["+442079460000"],
    );
    check("<html lang=nl>Tel: 043-3622836", None, &["+31433622836"]);
    check(
        "<base href='https://firm.co.uk/'>Tel: 020 7946 0000",
        None,
        &["+442079460000"],
    );
    check(
        "12 High St, London WC2H 9HQ<br>020 7946 0000",
        Some("US"),
        &["+442079460000"],
    );
    check(
        "(212) 334-5100 and 212.334.5101",
        Some("US"),
        &["+12123345100", "+12123345101"],
    );
    check("2123345100", Some("US"), &[]);
    check(
        "<td>Phone:</td><td>2123345100</td>",
        Some("US"),
        &["+12123345100"],
    );
    check(
        "Phone: 909.598.0787 – 909.598.8329",
        Some("US"),
        &["+19095980787", "+19095988329"],
    );
    check(
        "1-800-626-1313 1-310-260-8918",
        Some("US"),
        &["+18006261313", "+13102608918"],
    );
    check("303.333.PAUL", Some("US"), &["+13033337285"]);
    check("Call 1-800-FLOWERS now", Some("US"), &["+18003569377"]);
    check("1-800-<b>FLOWERS</b>", Some("US"), &["+18003569377"]);
    check("Tel: +52 998 898 05 37 Ext 1000", None, &["+529988980537"]);
    check("Tel ( 86 ) 21-5175- 8787", None, &["+862151758787"]);
    check(
        "<a href='tel:(212)%20334-5100;ext=5'>x</a>",
        Some("US"),
        &["+12123345100"],
    );
    check(
        "<a href='https://wa.me/442079460000'>x</a>",
        None,
        &["+442079460000"],
    );
    check(
        "<span class=tel>801 200 200</span>",
        Some("PL"),
        &["+48801200200"],
    );
    check("Tel. 0049 (0)30 227 32152", None, &["+493022732152"]);
    check("<html lang=zh>(852) 2572-1121", None, &["+85225721121"]);
    check(
        "<a href='whatsapp://send?phone=+34600123457'>x</a>",
        None,
        &["+34600123457"],
    );
    check(
        "<a href='https://web.whatsapp.com/send?text=x&phone=34600123458'>x</a>",
        None,
        &["+34600123458"],
    );
}

#[test]
fn numbers_are_read_as_each_country_writes_them() {
    let table = [
        ("DE", "Telefon: 089 / 12 34 56 78", "+498912345678"),
        ("DE", "030/227-32152", "+493022732152"),
        ("DE", "(030) 227 32152", "+493022732152"),
        ("DE", "Fon 0228/12345-0", "+49228123450"),
        ("DE", "+49 (0) 30 - 227 32 152", "+493022732152"),
        ("DE", "Tel +49.30.22732152", "+493022732152"),
        ("FR", "01 45 84 83 75", "+33145848375"),
        ("FR", "01.45.84.83.75", "+33145848375"),
        ("FR", "+33 (0)1 45 84 83 75", "+33145848375"),
        ("IT", "Tel. 02 3661 8300", "+390236618300"),
        ("ES", "912 34 56 78", "+34912345678"),
        ("ES", "Tfno: 952579800", "+34952579800"),
        ("ES", "Tlf.Centralita: 952579800", "+34952579800"),
        ("AU", "(02) 9191 8364", "+61291918364"),
        ("AU", "0412 345 678", "+61412345678"),
        ("AU", "1300 975 707", "+611300975707"),
        ("NZ", "09 309 1234", "+6493091234"),
        ("IE", "057 9352105", "+353579352105"),
        ("JP", "03-5977-7917", "+81359777917"),
        ("BR", "(11) 3456-7890", "+551134567890"),
        ("MX", "(998) 253 61 00", "+529982536100"),
        ("CN", "010-6475 1700", "+861064751700"),
        ("IN", "Mobile: 98765 43210", "+919876543210"),
        ("RU", "8 (495) 123-45-67", "+74951234567"),
        ("RU", "(495) 123-45-67", "+74951234567"),
        ("KR", "02-2056-1322", "+82220561322"),
        ("SG", "Tel: 6316 7971", "+6563167971"),
        ("DK", "33 14 56 78", "+4533145678"),
        ("NO", "22 33 44 55", "+4722334455"),
        ("SE", "08-123 456 78", "+46812345678"),
        ("FI", "09 1234 5678", "+358912345678"),
        ("BE", "02 512 34 56", "+3225123456"),
        ("CH", "044 268 12 34", "+41442681234"),
        ("AT", "Tel. 01 / 512 34 56", "+4315123456"),
        ("GR", "210 323 4567", "+302103234567"),
        ("PT", "213 456 789", "+351213456789"),
        ("CZ", "Telefon: 224 123 456", "+420224123456"),
        ("PL", "tel. 22 334 45 56", "+48223344556"),
        ("HU", "Tel.: 06 1 234 5678", "+3612345678"),
        ("GB", "0207 515 7774", "+442075157774"),
        ("GB", "07831 093776", "+447831093776"),
        ("NL", "06 - 51 51 27 30", "+31651512730"),
        ("US", "(212) 334-5100 x123", "+12123345100"),
        ("US", "T 212.334.5100", "+12123345100"),
        ("CA", "+1 416 862 0515", "+14168620515"),
        ("CA", "Sans frais : 1 877 644-4545", "+18776444545"),
        ("RU", "+7 (812) 325-45-67", "+78123254567"),
        ("RU", "8-800-555-35-35", "+78005553535"),
        ("GB", "01223337735", "+441223337735"),
        ("FR", "<p>0142603033</p>", "+33142603033"),
        ("AU", "Call 13 12 34", "+61131234"),
        ("JP", "TEL ０３（１２３４）５６７８", "+81312345678"),
        ("EG", "٠٢ ٢٣٤٥ ٦٧٨٩", "+20223456789"),
        ("CN", "公司手机：138 1234 5678", "+8613812345678"),
        ("CN", "服务热线13812345678", "+8613812345678"),
        ("GR", "Κιν. 6971234567", "+306971234567"),
        ("IN", "Contact No. 09820012345", "+919820012345"),
        ("AT", "+43/1/513 07 77", "+4315130777"),
        ("PL", "fax: (0-22) 520 90 02", "+48225209002"),
        ("BR", "CEP 01310-100 | 0800 729 0088", "+558007290088"),
        ("SE", "Org.nr 556123-4567, 08-123 456 78", "+46812345678"),
    ];
    for (region, text, expected) in table {
        assert_eq!(phones(text, Some(region)), [expected], "{region} {text}");
    }
}

#[test]
fn digits_that_are_no_telephone_are_refused() {
    let text = "<p>06/08/2013 2013-08-06 1995 - 2014 176.215.38.50 10:30-18:00 08.00-18.00</p>\
        <p>Order 212-334-5100</p><p>VAT GB 334 5100 212</p><p>IBAN NL91 ABNA 0417 1643 00</p>\
        <p>BTW: NL.8521.20.898.B01 KvK: 22045995</p><p>ISBN 212-334-5100</p><p>#212-334-5100</p>\
        <p>$212-334-5100</p><p>36.6;-4.516667</p><p>id=2123345100&x</p><p>1400520449793</p>\
        <p>4000 1234 5678 9010</p><p>a2123345100b</p><p>600/800/1000</p><p>500 PANDA 169</p><p>500 FIORINO</p><p>520 VX3-ORO 1</p>\
        <p>25/29.97/50/59.94 1080p</p><p>1,234,567,890</p>\
        <script>var phone='212-334-5100'</script><img id='212-334-5100' src='/212-334-5100.png'>";
    assert_eq!(phones(text, Some("US")), Vec::<String>::new());
    assert_eq!(phones(text, Some("NL")), Vec::<String>::new());
    assert_eq!(phones(text, Some("DE")), Vec::<String>::new());
    let check = |region: &str, text: &str| {
        assert_eq!(phones(text, Some(region)), Vec::<String>::new(), "{text}");
    };
    check("DE", "Best.-Nr. 0221 123456, Art.-Nr. 040-123456");
    check("NL", "Klantnummer: 020 1234567, bestelnr 0612345678");
    check("FR", "N° d'agrément : 01 23 45 67 90");
    check("GB", "Registered in England &amp; Wales number 0123 4567");
    check("US", "<td>Call 12345</td>");
    check("NL", "code 0201234567 x");
    check("DE", "<td>0123456</td>");
}

#[test]
fn a_symbol_parts_two_numbers_and_says_what_the_second_is() {
    let html = "<p><i class='fa fa-phone'></i> 030 / 23 12 51 07 <i class='fa fa-fax'></i> 030 / 23 12 51 08</p>";
    let found = contacts(html, Some("DE")).phones;
    let found: Vec<_> = found.iter().map(|p| (p.e164.as_str(), p.kind)).collect();
    assert_eq!(
        found,
        [
            ("+493023125107", PhoneKind::Voice),
            ("+493023125108", PhoneKind::Fax)
        ]
    );
}

#[test]
fn labels_decide_what_a_number_is_for() {
    let check = |html: &str, kind: PhoneKind| {
        let found = contacts(html, Some("US"));
        assert_eq!(
            found.phones.first().map(|phone| phone.kind),
            Some(kind),
            "{html}"
        );
    };
    check("Fax: 212-334-5100", PhoneKind::Fax);
    check("<td>Telefax</td><td>212-334-5100</td>", PhoneKind::Fax);
    check(
        "<td>Fax</td><td>:</td><td>212-334-5100</td>",
        PhoneKind::Fax,
    );
    check("212-334-5100 (fax)", PhoneKind::Fax);
    check("Téléc. : 212-334-5100", PhoneKind::Fax);
    check("<i class='fa fa-phone'></i> 2123345100", PhoneKind::Voice);
    check(
        "<p><i class=icon-fax></i></p><p>2123345100</p>",
        PhoneKind::Fax,
    );
    check(
        "<i class=fa-fax></i> <i class=fa-phone></i> 2123345100",
        PhoneKind::Voice,
    );
    check("<img alt=Fax> 212-334-5100", PhoneKind::Fax);
    check("ＦＡＸ：212-334-5100", PhoneKind::Fax);
    check(
        "<i class=fa-fax></i> from us: 212-334-5100",
        PhoneKind::Unknown,
    );
    check("212-334-5100 (fax) 212-334-5101 (tel)", PhoneKind::Fax);
    check("<b>F:</b> 212-334-5100", PhoneKind::Fax);
    check("Tel/Fax: 212-334-5100", PhoneKind::Voice);
    check("<p>Fax: 212-334-5100<p>Tel: 212-334-5100", PhoneKind::Voice);
    check(
        "<a href='tel:2123345100'>x</a> Fax: 212-334-5100",
        PhoneKind::Fax,
    );
    check("212-334-5100", PhoneKind::Unknown);
    check("факс 212-334-5100", PhoneKind::Fax);
    let both = contacts("Tel: 212-334-5100 Fax: 212-334-5101", Some("US"));
    let kinds: Vec<PhoneKind> = both.phones.iter().map(|phone| phone.kind).collect();
    assert_eq!(kinds, [PhoneKind::Voice, PhoneKind::Fax]);
    let both = contacts("212-334-5100 (tel) 212-334-5101 (fax)", Some("US"));
    let kinds: Vec<PhoneKind> = both.phones.iter().map(|phone| phone.kind).collect();
    assert_eq!(kinds, [PhoneKind::Voice, PhoneKind::Fax]);
}

#[test]
fn name_and_address_are_those_of_the_owner() {
    let check = |html: &str, name: Option<&str>, address: Option<&str>| {
        let found = contacts(html, None);
        assert_eq!(found.name.as_deref(), name, "{html}");
        assert_eq!(found.address.as_deref(), address, "{html}");
    };
    check(
        "<div class=vcard><b class='fn org'>Acme</b><p class=adr><i class=street-address>Hafenstr. 5</i>\
         <i class=postal-code>20457</i> <i class=locality>Hamburg</i></p></div>",
        Some("Acme"),
        Some("Hafenstr. 5, 20457 Hamburg"),
    );
    check("<p class=fn>Acme</p><p class=locality>Hamburg", None, None);
    check(
        "<div typeof=Organization><b property=name>Acme</b><p property=address typeof=PostalAddress>\
         <i property=streetAddress>9 Elm</i><i property=addressLocality>Austin</i></div>",
        Some("Acme"),
        Some("9 Elm, Austin"),
    );
    check(
        "<div typeof=Product><b property=name>Thing</b></div>",
        None,
        None,
    );
    check(
        "<meta property=og:site_name content='Acme Works'>",
        Some("Acme Works"),
        None,
    );
    check(
        "<address>Acme Ltd<br>10 Downing Street<br>London SW1A 2AA<br>Tel: 020 7946 0000<br>\
         <a href='mailto:a@acme.com'>a@acme.com</a><br>E-mail:</address>",
        None,
        Some("Acme Ltd, 10 Downing Street, London SW1A 2AA"),
    );
    check(
        "<address>P.O. Box 4000<br>Bellaire, TX 77402-4000<br>866-643-0919</address>",
        None,
        Some("P.O. Box 4000, Bellaire, TX 77402-4000"),
    );
    check(
        "<p itemprop=streetAddress>Hafenstr. 5,</p><p itemprop=addressLocality>Hamburg</p>",
        None,
        Some("Hafenstr. 5, Hamburg"),
    );
    check(
        "<address>Written by Jo</address><address>Tel: 5</address>",
        None,
        None,
    );
}

#[test]
fn profiles_are_listed_once() {
    let html = "<a href='https://www.facebook.com/acme/'>f</a><a href='http://facebook.com/acme?ref=x'>f</a>\
        <a href='https://www.facebook.com/sharer.php?u=x'>share</a><a rel=me href='https://social.example/@acme'>m</a>\
        <script type='application/ld+json'>{\"sameAs\":[\"https://x.com/acme\"]}</script>";
    let found: Vec<String> = contacts(html, None)
        .socials
        .into_iter()
        .map(|s| s.url)
        .collect();
    assert_eq!(
        found,
        [
            "https://www.facebook.com/acme",
            "https://social.example/@acme",
            "https://x.com/acme"
        ]
    );
}

#[test]
fn nothing_is_invented() {
    assert_eq!(contacts("", None), Contacts::default());
    assert_eq!(
        contacts("<p>No contact here", Some("US")),
        Contacts::default()
    );
    assert_eq!(contacts("<p>x", Some("not a region")), Contacts::default());
}

#[test]
fn hostile_input_takes_bounded_time() {
    // Large enough that anything quadratic would show, small enough for an unoptimised build.
    let size = 128 * 1024;
    let inputs = [
        "a@".repeat(size),
        "@".repeat(2 * size),
        "a@b.cd ".repeat(size / 4),
        "a.".repeat(size) + "@" + &"b.".repeat(size),
        "1 ".repeat(size),
        "+1 ".repeat(size),
        "(0) 12-".repeat(size / 2),
        "212-334-5100 ".repeat(size / 4),
        "1-800-AAAAAAA ".repeat(size / 8),
        "a [at] ".repeat(size / 4),
        "a at b dot ".repeat(size / 4),
        "a @ b ".repeat(size / 4),
        "<script>'+'".repeat(size / 4),
        "Tel: ".repeat(size / 4),
        "<a href='mailto:a@b.com'>".repeat(size / 16),
        "<p class=tel>".repeat(size / 8),
        format!("<script type='application/ld+json'>{}", "[".repeat(size)),
        format!(
            "<script type='application/ld+json'>{}",
            "{\"a\":".repeat(size / 4)
        ),
        format!("<p data-x='{}'>", "a@b.".repeat(size)),
        "<p itemprop=telephone>".repeat(size / 16),
        "<address>1".repeat(size / 8),
        "<p class=fn>".repeat(size / 8),
        "<a href=\"javascript:m('nbjmup\">".repeat(size / 16),
        format!("<p data-x='{}'>", "//a:b@c.d".repeat(size / 4)),
        format!("<script>{}", "a + '@' + b;".repeat(size / 8)),
        format!("<script>'@'{}", "fromCharCode(1,".repeat(size / 8)),
        format!("<script>{}", "atob('".repeat(size / 8)),
        "<b class=tel>(".repeat(size / 8),
        "<form><input>".repeat(size / 8),
        "<a href=x>".repeat(size / 4),
    ];
    for input in inputs {
        let start: String = input.chars().take(30).collect();
        let started = std::time::Instant::now();
        let page = Page::parse(&decode(input.as_bytes(), None).text);
        let url = Url::parse("https://acme.de/").unwrap();
        let found = extract(
            &page,
            &url,
            &Options {
                default_region: Some("US"),
            },
        );
        crate::page::extract(&page, &url);
        crate::page::technology(&page);
        let elapsed = started.elapsed();
        assert!(elapsed.as_secs() < 20, "{start:?}: {elapsed:?}");
        assert!(found.emails.len() <= MAX_FINDINGS && found.phones.len() <= MAX_FINDINGS);
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(
        html in "(<(a|b|p|td|script|span|meta)( (href|content|class|itemprop|data-cfemail)='?(mailto:|tel:)?[a-z0-9@.%+()é -]{0,14}'?){0,2}>|[a-z0-9@.+() é%/-]{0,12}|Tel: |Fax|\\[at\\]| dot ){0,30}",
        region in "[A-Z]{2}",
    ) {
        contacts(&html, Some(&region));
    }

    #[test]
    fn any_text_is_safe(text in "\\PC{0,200}") {
        contacts(&text, Some("US"));
        is_plausible_email(&text);
    }
}
