//! Which language a text is in, by its script and its smallest words.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::table::rows;

/// How many words are looked at: the answer does not get better.
const MAX_WORDS: usize = 2_000;

/// Fewer small words say nothing.
const LEAST_HITS: usize = 6;

/// For each word the languages that have it, as places in [`LANGUAGES`].
static WORDS: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let mut words: HashMap<&'static str, Vec<usize>> = HashMap::new();
    for (place, (_, list)) in LANGUAGES.iter().enumerate() {
        for word in list.split(' ') {
            words.entry(word).or_default().push(place);
        }
    }
    words
});

/// Each language, and its words.
static LANGUAGES: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    rows(include_str!("../data/language_words.txt"))
        .filter_map(|row| match row.as_slice() {
            [language, words] => Some((*language, *words)),
            _ => None,
        })
        .collect()
});

/// The language of a text, if there is enough of it and one stands out.
pub(super) fn guess(text: &str) -> Option<&'static str> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(str::to_lowercase)
        .collect();
    by_script(&words).or_else(|| by_words(&words))
}

/// For scripts that one language writes, or nearly so: the letters of one that make up most of the text.
fn by_script(words: &[String]) -> Option<&'static str> {
    const SCRIPTS: [(&str, &[std::ops::RangeInclusive<char>]); 8] = [
        ("el", &['\u{370}'..='\u{3ff}', '\u{1f00}'..='\u{1fff}']),
        ("he", &['\u{590}'..='\u{5ff}']),
        ("ar", &['\u{600}'..='\u{6ff}']),
        ("hi", &['\u{900}'..='\u{97f}']),
        ("th", &['\u{e00}'..='\u{e7f}']),
        ("ja", &['\u{3040}'..='\u{30ff}']),
        ("ko", &['\u{ac00}'..='\u{d7af}']),
        ("zh", &['\u{3400}'..='\u{4dbf}', '\u{4e00}'..='\u{9fff}']),
    ];
    let mut counts = [0_usize; SCRIPTS.len()];
    let mut letters = 0;
    for letter in words
        .iter()
        .flat_map(|word| word.chars())
        .take(20 * MAX_WORDS)
    {
        letters += 1;
        let found = SCRIPTS
            .iter()
            .zip(&mut counts)
            .find(|((_, ranges), _)| ranges.iter().any(|range| range.contains(&letter)));
        if let Some((_, count)) = found {
            *count += 1;
        }
    }
    // Japanese is written with Chinese characters too, and Chinese without kana.
    let [.., japanese, _, chinese] = &mut counts;
    if *japanese * 20 > *chinese {
        *japanese += std::mem::take(chinese);
    }
    SCRIPTS
        .iter()
        .zip(counts)
        .find(|(_, count)| *count >= LEAST_HITS && count * 2 > letters)
        .map(|((language, _), _)| *language)
}

fn by_words(words: &[String]) -> Option<&'static str> {
    let mut hits = vec![0_usize; LANGUAGES.len()];
    for place in words
        .iter()
        .filter_map(|word| WORDS.get(word.as_str()))
        .flatten()
    {
        if let Some(count) = hits.get_mut(*place) {
            *count += 1;
        }
    }
    let mut ranked: Vec<(usize, &str)> = hits
        .into_iter()
        .zip(LANGUAGES.iter().map(|(language, _)| *language))
        .collect();
    ranked.sort_unstable_by_key(|(count, _)| std::cmp::Reverse(*count));
    let [(best, language), (second, _), ..] = ranked.as_slice() else {
        return None;
    };
    // One word in ten is such a word in any text of sentences; lists of products have fewer.
    let is_clear = *best >= LEAST_HITS && best * 12 >= words.len() && best * 10 >= second * 11;
    is_clear.then_some(*language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_a_text_is_recognised() {
        for (text, expected) in [
            (
                "We are a small shop in the heart of the city, and you will find the best coffee for your home with us.",
                Some("en"),
            ),
            (
                "Wir sind ein kleiner Laden im Herzen der Stadt, und Sie finden bei uns den besten Kaffee für die Küche.",
                Some("de"),
            ),
            (
                "Nous sommes une petite boutique au cœur de la ville et vous trouverez le meilleur café pour votre maison avec nous.",
                Some("fr"),
            ),
            (
                "Somos una pequeña tienda en el centro de la ciudad y el mejor café para su casa está con nosotros, como los vecinos que nos visitan.",
                Some("es"),
            ),
            (
                "Somos uma pequena loja no centro da cidade e você encontra o melhor café para a sua casa com os nossos amigos, mas não só.",
                Some("pt"),
            ),
            (
                "Siamo un piccolo negozio nel cuore della città e il miglior caffè per la casa è con noi, che non sono pochi.",
                Some("it"),
            ),
            (
                "Wij zijn een kleine winkel in het hart van de stad en u vindt bij ons de beste koffie voor uw huis.",
                Some("nl"),
            ),
            (
                "Vi är en liten butik i hjärtat av staden och du hittar det bästa kaffet för ditt hem, och det är inte dyrt att handla från oss.",
                Some("sv"),
            ),
            (
                "Vi er en lille butik i hjertet af byen, og du finder den bedste kaffe til dit hjem af alle, hvis du ikke allerede har en af vores.",
                Some("da"),
            ),
            (
                "Vi er en liten butikk i hjertet av byen, og du finner den beste kaffen til ditt hjem av alle. Det er ikke vanskelig å finne oss og å handle av oss.",
                Some("nb"),
            ),
            (
                "Olemme pieni kauppa, joka on kaupungin sydämessä, ja meidän kahvi on parasta, mutta se ei ole kallista, kun ostat sen.",
                Some("fi"),
            ),
            (
                "Jesteśmy małym sklepem w sercu miasta i nie ma lepszej kawy dla domu, to jest u nas, a się nie mylimy od lat i na pewno.",
                Some("pl"),
            ),
            (
                "Jsme malý obchod v srdci města a na kávu se u nás těší každý, protože je nejlepší a není drahá, jako která jiná pro vás.",
                Some("cs"),
            ),
            (
                "Sme malý obchod v srdci mesta a na kávu sa u nás teší každý, pretože je najlepšia a nie je drahá, ako ktorá iná pre vás.",
                Some("sk"),
            ),
            (
                "Egy kis bolt vagyunk a város szívében, és a legjobb kávé van nálunk, de ez nem minden, hogy már az első is csak egy meg egy.",
                Some("hu"),
            ),
            (
                "Suntem un mic magazin în inima orașului și cea mai bună cafea este la noi, pentru casa care nu are cu ce sau din ce.",
                Some("ro"),
            ),
            (
                "Mi smo mala trgovina u srcu grada i nudimo kavu koja je najbolja za vaš dom, što nije skupo, kao koje druge su, da se zna.",
                Some("hr"),
            ),
            (
                "Smo majhna trgovina v srcu mesta in kava, ki je najboljša za dom, je pri nas, kot tudi čaj, ki so ga vsi veseli, da se ve.",
                Some("sl"),
            ),
            (
                "Şehrin kalbinde küçük bir dükkanız ve evin için daha iyi bir kahve olarak bu kahve ile çok mutlu olan bir yer, ne gibi.",
                Some("tr"),
            ),
            (
                "Esame maža parduotuvė, kuri yra mieste, ir kava iš čia yra gera, kad ir kaip, su pienu ar be jo, tai mūsų kava nuo seno.",
                Some("lt"),
            ),
            (
                "Mēs esam mazs veikals, kas ir pilsētā, un kafija no mums ir laba, lai kā arī to dzer, ar pienu vai bez, par ko ir prieks, ka tas ir.",
                Some("lv"),
            ),
            (
                "Oleme väike pood, mis on linnas, ja meie kohv on parim, kuid see ei ole kallis, kui ka sina või tema seda ostab, ning see on hea.",
                Some("et"),
            ),
            (
                "Kami adalah toko kecil di kota dan kopi yang terbaik untuk rumah anda ada pada kami, tidak mahal dengan harga dari ini atau itu.",
                Some("id"),
            ),
            (
                "Chúng tôi là một cửa hàng nhỏ trong thành phố và cà phê của chúng tôi là cho bạn, không có gì được với các loại để.",
                Some("vi"),
            ),
            (
                "Som una botiga petita al cor de la ciutat i el millor cafè per a casa és amb nosaltres, com els veïns que són del barri, però més.",
                Some("ca"),
            ),
            (
                "Мы маленький магазин в центре города, и у нас есть кофе для вас, это не дорого, как и чай, который мы привезли из Азии.",
                Some("ru"),
            ),
            (
                "Ми маленький магазин у центрі міста, і в нас є кава для вас, це не дорого, як і чай, що ми привезли з Азії та продаємо.",
                Some("uk"),
            ),
            (
                "Ние сме малък магазин в центъра на града и кафето за вас е при нас, това не е скъпо, от него се прави как да е или са други.",
                Some("bg"),
            ),
            (
                "Ми смо мала продавница у срцу града и кафа је код нас најбоља за дом, што није скупо, као које друге су, да се зна.",
                Some("sr"),
            ),
            (
                "Είμαστε ένα μικρό κατάστημα στην καρδιά της πόλης.",
                Some("el"),
            ),
            ("אנחנו חנות קטנה בלב העיר", Some("he")),
            ("نحن متجر صغير في قلب المدينة", Some("ar")),
            ("हम शहर के दिल में एक छोटी दुकान हैं", Some("hi")),
            ("เราเป็นร้านเล็กๆ ใจกลางเมือง", Some("th")),
            ("私たちは街の中心にある小さな店です。", Some("ja")),
            ("우리는 도시 중심에 있는 작은 가게입니다", Some("ko")),
            ("我们是市中心的一家小店", Some("zh")),
            ("Acme Brass Kettle 1.7 L", None),
            ("", None),
        ] {
            assert_eq!(guess(text), expected, "{text}");
        }
    }

    #[test]
    fn every_list_is_of_one_language_and_tells_it_from_the_others() {
        assert!(LANGUAGES.len() > 25);
        for (language, words) in LANGUAGES.iter() {
            assert!((2..=3).contains(&language.len()), "{language}");
            for word in words.split(' ') {
                assert!(word.chars().all(char::is_alphabetic), "{language} {word:?}");
                assert_eq!(word.to_lowercase(), word, "{language}");
            }
            assert_eq!(guess(&words.repeat(2)), Some(*language), "{language}");
        }
    }
}
