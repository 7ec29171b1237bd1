//! The words the invented businesses and their pages are made of, by language.

use super::country::{Country, Phrases};

/// A line of business, and how the Places API calls it.
#[derive(Debug)]
pub(crate) struct Trade {
    /// As part of a business's name.
    pub(crate) label: &'static str,
    /// The search term that finds it.
    pub(crate) business_type: &'static str,
    /// The first entry of `types`.
    pub(crate) place_type: &'static str,
    /// The schema.org type.
    pub(crate) schema_type: &'static str,
    /// One line for the page's description.
    pub(crate) tagline: &'static str,
}

macro_rules! trade {
    ($label:literal, $business_type:literal, $place_type:literal, $schema_type:literal, $tagline:literal) => {
        Trade {
            label: $label,
            business_type: $business_type,
            place_type: $place_type,
            schema_type: $schema_type,
            tagline: $tagline,
        }
    };
}

impl Country {
    /// The words of its pages.
    pub(crate) fn phrases(self) -> &'static Phrases {
        match self {
            Self::UnitedStates | Self::UnitedKingdom => &ENGLISH,
            Self::Germany => &GERMAN,
            Self::France => &FRENCH,
            Self::Netherlands => &DUTCH,
        }
    }

    pub(crate) fn trades(self) -> &'static [Trade] {
        match self {
            Self::UnitedStates | Self::UnitedKingdom => ENGLISH_TRADES,
            Self::Germany => GERMAN_TRADES,
            Self::France => FRENCH_TRADES,
            Self::Netherlands => DUTCH_TRADES,
        }
    }

    /// A business's name from two numbers that may be anything.
    pub(crate) fn business_name(self, trade: &Trade, first: usize, second: usize) -> String {
        let proper = match self {
            Self::UnitedStates | Self::UnitedKingdom => {
                let adjective = ADJECTIVES[first % ADJECTIVES.len()];
                let noun = NOUNS[second % NOUNS.len()];
                return format!("{adjective} {noun} {}", trade.label);
            }
            Self::Germany => GERMAN_NAMES[first % GERMAN_NAMES.len()],
            Self::France => FRENCH_NAMES[first % FRENCH_NAMES.len()],
            Self::Netherlands => DUTCH_NAMES[first % DUTCH_NAMES.len()],
        };
        format!("{} {proper}", trade.label)
    }
}

const ADJECTIVES: &[&str] = &[
    "Brass",
    "Copper",
    "Willow",
    "Juniper",
    "Silver",
    "Maple",
    "Stone",
    "Amber",
    "Clover",
    "Cedar",
    "Foxglove",
    "Lantern",
    "Northgate",
    "Riverside",
    "Bluebell",
    "Harvest",
    "Old Mill",
    "Corner",
];

const NOUNS: &[&str] = &[
    "Kettle", "Lane", "Anchor", "Thistle", "Wren", "Orchard", "Bridge", "Hollow", "Finch",
    "Garden", "Gate", "Meadow", "Barn", "Quarter", "Yard", "Harbor", "Heron",
];

const GERMAN_NAMES: &[&str] = &[
    "Lindner",
    "am Markt",
    "Hofmann",
    "Sonnenschein",
    "Bergmann",
    "zur Mühle",
    "Fuchs",
    "Seidel",
    "am Rathaus",
    "Vogelsang",
    "Krämer",
    "Weidenbach",
];

const FRENCH_NAMES: &[&str] = &[
    "des Tilleuls",
    "du Canal",
    "Saint-Michel",
    "de la Gare",
    "Moreau",
    "du Vieux Port",
    "Lefèvre",
    "de la Fontaine",
    "Garnier",
    "des Halles",
    "du Théâtre",
];

const DUTCH_NAMES: &[&str] = &[
    "De Linde",
    "Het Anker",
    "Van Dijk",
    "De Gouden Ster",
    "Bakker en Zoon",
    "Aan de Gracht",
    "Van der Meer",
    "De Molen",
    "Het Hoekje",
];

#[rustfmt::skip]
const ENGLISH_TRADES: &[Trade] = &[
    trade!("Bakery", "bakery", "bakery", "Bakery", "Sourdough, rolls and cakes, baked every morning."),
    trade!("Coffee Roasters", "coffee shop", "cafe", "CafeOrCoffeeShop", "Small batches, roasted on the premises."),
    trade!("Dental Practice", "dentist", "dentist", "Dentist", "Gentle dentistry for the whole family."),
    trade!("Plumbing", "plumber", "plumber", "Plumber", "Leaks, boilers and bathrooms, day and night."),
    trade!("Florist", "florist", "florist", "Florist", "Bouquets, weddings and a garden full of ideas."),
    trade!("Law Office", "lawyer", "lawyer", "Attorney", "Plain advice for families and small firms."),
    trade!("Hardware", "hardware store", "hardware_store", "HardwareStore", "If it has a thread, we stock it."),
    trade!("Veterinary Clinic", "veterinarian", "veterinary_care", "VeterinaryCare", "Care for animals great and small."),
    trade!("Bike Shop", "bicycle shop", "bicycle_store", "BikeStore", "Repairs while you wait, and the occasional race."),
    trade!("Bookshop", "bookstore", "book_store", "BookStore", "New books, old books, good chairs."),
    trade!("Physiotherapy", "physiotherapist", "physiotherapist", "MedicalBusiness", "Back on your feet, one step at a time."),
    trade!("Auto Repair", "auto repair", "car_repair", "AutoRepair", "Honest repairs at fixed prices."),
];

#[rustfmt::skip]
const GERMAN_TRADES: &[Trade] = &[
    trade!("Bäckerei", "bakery", "bakery", "Bakery", "Täglich frisches Brot aus eigener Backstube."),
    trade!("Zahnarztpraxis", "dentist", "dentist", "Dentist", "Ihre Praxis für die ganze Familie."),
    trade!("Blumenhaus", "florist", "florist", "Florist", "Sträuße und Pflanzen für jeden Anlass."),
    trade!("Bücherstube", "bookstore", "book_store", "BookStore", "Bücher, Lesungen und guter Rat."),
    trade!("Fahrradladen", "bicycle shop", "bicycle_store", "BikeStore", "Verkauf, Verleih und Werkstatt."),
    trade!("Kanzlei", "lawyer", "lawyer", "Attorney", "Rechtsrat, den man versteht."),
    trade!("Tierarztpraxis", "veterinarian", "veterinary_care", "VeterinaryCare", "Für Hund, Katze und Kaninchen."),
    trade!("Schreinerei", "carpenter", "general_contractor", "GeneralContractor", "Möbel und Innenausbau nach Maß."),
];

#[rustfmt::skip]
const FRENCH_TRADES: &[Trade] = &[
    trade!("Boulangerie", "bakery", "bakery", "Bakery", "Pain au levain et viennoiseries maison."),
    trade!("Cabinet dentaire", "dentist", "dentist", "Dentist", "Des soins doux pour toute la famille."),
    trade!("Fleuriste", "florist", "florist", "Florist", "Bouquets et compositions de saison."),
    trade!("Librairie", "bookstore", "book_store", "BookStore", "Livres neufs et anciens, rencontres et conseils."),
    trade!("Garage", "auto repair", "car_repair", "AutoRepair", "Entretien et réparation toutes marques."),
    trade!("Pharmacie", "pharmacy", "pharmacy", "Pharmacy", "Conseil et préparation sur place."),
    trade!("Plomberie", "plumber", "plumber", "Plumber", "Dépannage rapide et salles de bains."),
];

#[rustfmt::skip]
const DUTCH_TRADES: &[Trade] = &[
    trade!("Bakkerij", "bakery", "bakery", "Bakery", "Elke ochtend vers brood uit eigen oven."),
    trade!("Tandartspraktijk", "dentist", "dentist", "Dentist", "Rustige zorg voor het hele gezin."),
    trade!("Bloemenwinkel", "florist", "florist", "Florist", "Boeketten en planten van het seizoen."),
    trade!("Boekhandel", "bookstore", "book_store", "BookStore", "Boeken, tijdschriften en goede raad."),
    trade!("Fietsenmaker", "bicycle shop", "bicycle_store", "BikeStore", "Verkoop, verhuur en reparatie."),
    trade!("Garage", "auto repair", "car_repair", "AutoRepair", "Onderhoud en APK voor alle merken."),
];

const ENGLISH: Phrases = Phrases {
    home: "Home",
    about: "About us",
    services: "Services",
    team: "Our team",
    blog: "News",
    shop: "Shop",
    careers: "Careers",
    contact: "Contact us",
    contact_intro: "We like to hear from you. Drop in, call or write, whichever suits you best.",
    email: "Email",
    write_to_us: "Write to us",
    phone: "Phone",
    fax: "Fax",
    address: "Address",
    hours: "Opening hours",
    hours_text: "Monday to Friday 9:00 - 17:30, Saturday 9:00 - 13:00",
    follow_us: "Follow us",
    updated: "Last updated",
    order: "Order no.",
    vat: "VAT registration",
    share: "Share this page",
    send: "Send",
    message: "Your message",
    not_found: "Sorry, we could not find what you were looking for.",
    sentences: &[
        "We opened our doors in the spring of a rainy year and have not closed them since.",
        "Everything we sell is made by people whose names we know.",
        "Most of our customers come back, and many bring a neighbour.",
        "Ask for a quote; it costs nothing and commits you to nothing.",
        "In winter we close an hour earlier, except in the week before the holidays.",
        "Parking is behind the building, next to the old chestnut tree.",
        "If something is not right, tell us and we will put it right.",
    ],
    blog_topics: &[
        ("Five questions we are asked every week", "five-questions"),
        ("What we learned from a slow summer", "slow-summer"),
        ("Meet the newest member of the crew", "newest-member"),
        ("Why we changed our supplier", "changed-supplier"),
        ("Our plans for the spring market", "spring-market"),
        ("A short history of our street", "history-of-our-street"),
    ],
    products: &[
        ("Gift card", "gift-card"),
        ("Starter set", "starter-set"),
        ("Family package", "family-package"),
        ("Weekend special", "weekend-special"),
        ("Maintenance plan", "maintenance-plan"),
        ("Workshop for beginners", "workshop-for-beginners"),
    ],
    streets: &[
        "Mill Street",
        "Station Road",
        "Orchard Avenue",
        "Church Lane",
        "Market Street",
        "Elm Street",
    ],
    mailboxes: &[
        "info",
        "hello",
        "office",
        "bookings",
        "orders",
        "enquiries",
        "sales",
        "service",
    ],
    people: &[
        ("Nora", "Whitfield"),
        ("Daniel", "Okafor"),
        ("Priya", "Raman"),
        ("Tom", "Hadley"),
        ("Grace", "Ellison"),
    ],
};

const GERMAN: Phrases = Phrases {
    home: "Startseite",
    about: "Über uns",
    services: "Leistungen",
    team: "Unser Team",
    blog: "Aktuelles",
    shop: "Angebote",
    careers: "Karriere",
    contact: "Kontakt",
    contact_intro: "Rufen Sie an, schreiben Sie uns oder kommen Sie einfach vorbei.",
    email: "E-Mail",
    write_to_us: "Schreiben Sie uns",
    phone: "Telefon",
    fax: "Telefax",
    address: "Anschrift",
    hours: "Öffnungszeiten",
    hours_text: "Montag bis Freitag 9:00 - 18:00 Uhr, Samstag 9:00 - 13:00 Uhr",
    follow_us: "Folgen Sie uns",
    updated: "Stand",
    order: "Bestellnummer",
    vat: "Umsatzsteuer-Identifikationsnummer",
    share: "Seite teilen",
    send: "Absenden",
    message: "Ihre Nachricht",
    not_found: "Die gewünschte Seite wurde leider nicht gefunden.",
    sentences: &[
        "Seit drei Generationen sind wir in diesem Viertel zu Hause.",
        "Wir nehmen uns Zeit für jedes Gespräch und jeden Auftrag.",
        "Viele unserer Kunden kennen wir mit Namen.",
        "Ein Angebot erhalten Sie kostenlos und unverbindlich.",
        "Im Winter schließen wir eine Stunde früher.",
        "Parkplätze finden Sie hinter dem Haus.",
    ],
    blog_topics: &[
        ("Fünf Fragen, die wir oft hören", "fuenf-fragen"),
        ("Unser Sommerfest", "sommerfest"),
        ("Neu im Team", "neu-im-team"),
        ("Die Geschichte unserer Straße", "geschichte"),
    ],
    products: &[
        ("Gutschein", "gutschein"),
        ("Einsteigerpaket", "einsteigerpaket"),
        ("Familienpaket", "familienpaket"),
        ("Jahreswartung", "jahreswartung"),
    ],
    streets: &[
        "Lindenstraße",
        "Bahnhofstraße",
        "Gartenweg",
        "Marktplatz",
        "Mühlenweg",
        "Schulstraße",
    ],
    mailboxes: &[
        "info",
        "kontakt",
        "service",
        "bestellung",
        "buchhaltung",
        "termin",
    ],
    people: &[
        ("Anna", "Lindner"),
        ("Jonas", "Weber"),
        ("Miriam", "Kaya"),
        ("Stefan", "Brandt"),
    ],
};

const FRENCH: Phrases = Phrases {
    home: "Accueil",
    about: "À propos",
    services: "Nos services",
    team: "Notre équipe",
    blog: "Actualités",
    shop: "Boutique",
    careers: "Recrutement",
    contact: "Nous contacter",
    contact_intro: "Passez nous voir, appelez-nous ou écrivez-nous, comme il vous plaira.",
    email: "Courriel",
    write_to_us: "Écrivez-nous",
    phone: "Téléphone",
    fax: "Télécopie",
    address: "Adresse",
    hours: "Horaires",
    hours_text: "Du lundi au vendredi 9h00 - 18h00, le samedi 9h00 - 12h30",
    follow_us: "Suivez-nous",
    updated: "Mis à jour le",
    order: "Commande n°",
    vat: "TVA intracommunautaire",
    share: "Partager cette page",
    send: "Envoyer",
    message: "Votre message",
    not_found: "Désolé, la page demandée est introuvable.",
    sentences: &[
        "Notre maison est installée dans le quartier depuis plus de trente ans.",
        "Nous travaillons avec des producteurs que nous connaissons.",
        "Demandez un devis, il est gratuit et sans engagement.",
        "En hiver nous fermons une heure plus tôt.",
        "Le parking se trouve derrière le bâtiment.",
    ],
    blog_topics: &[
        (
            "Cinq questions que l'on nous pose souvent",
            "cinq-questions",
        ),
        ("Retour sur la fête du quartier", "fete-du-quartier"),
        ("Une nouvelle collègue", "nouvelle-collegue"),
        ("L'histoire de notre rue", "histoire-de-la-rue"),
    ],
    products: &[
        ("Carte cadeau", "carte-cadeau"),
        ("Formule découverte", "formule-decouverte"),
        ("Formule famille", "formule-famille"),
        ("Atelier du samedi", "atelier-du-samedi"),
    ],
    streets: &[
        "rue des Lilas",
        "avenue de la Gare",
        "place du Marché",
        "rue Victor-Hugo",
        "quai des Tanneurs",
    ],
    mailboxes: &[
        "contact",
        "bonjour",
        "accueil",
        "commandes",
        "rendezvous",
        "atelier",
    ],
    people: &[
        ("Claire", "Moreau"),
        ("Hugo", "Lefevre"),
        ("Samira", "Benali"),
        ("Luc", "Garnier"),
    ],
};

const DUTCH: Phrases = Phrases {
    home: "Home",
    about: "Over ons",
    services: "Diensten",
    team: "Ons team",
    blog: "Nieuws",
    shop: "Winkel",
    careers: "Werken bij ons",
    contact: "Contact",
    contact_intro: "Loop binnen, bel of schrijf ons. We helpen u graag.",
    email: "E-mail",
    write_to_us: "Schrijf ons",
    phone: "Telefoon",
    fax: "Fax",
    address: "Adres",
    hours: "Openingstijden",
    hours_text: "Maandag tot en met vrijdag 9.00 - 18.00 uur, zaterdag 9.00 - 17.00 uur",
    follow_us: "Volg ons",
    updated: "Laatst bijgewerkt",
    order: "Bestelnummer",
    vat: "Btw-nummer",
    share: "Deel deze pagina",
    send: "Versturen",
    message: "Uw bericht",
    not_found: "Helaas, deze pagina is niet gevonden.",
    sentences: &[
        "Al sinds 1987 een begrip in de buurt.",
        "Wij nemen de tijd voor elke klant.",
        "Vraag een offerte aan, gratis en vrijblijvend.",
        "In de winter sluiten we een uur eerder.",
        "U kunt achter het pand parkeren.",
    ],
    blog_topics: &[
        ("Vijf vragen die we vaak horen", "vijf-vragen"),
        ("Terugblik op de braderie", "braderie"),
        ("Nieuw in het team", "nieuw-in-het-team"),
        ("De geschiedenis van onze straat", "geschiedenis"),
    ],
    products: &[
        ("Cadeaubon", "cadeaubon"),
        ("Startpakket", "startpakket"),
        ("Gezinspakket", "gezinspakket"),
        ("Onderhoudsbeurt", "onderhoudsbeurt"),
    ],
    streets: &[
        "Kerkstraat",
        "Stationsweg",
        "Marktplein",
        "Molenlaan",
        "Dorpsstraat",
    ],
    mailboxes: &[
        "info",
        "contact",
        "welkom",
        "bestellen",
        "afspraak",
        "administratie",
    ],
    people: &[
        ("Sanne", "Visser"),
        ("Bram", "de Wit"),
        ("Noor", "Jansen"),
        ("Kees", "Mulder"),
    ],
};

/// A name as a host label: letters, digits and single hyphens; letters with marks are spelt out unless kept.
pub(crate) fn slug(name: &str, keep_marks: bool) -> String {
    let mut label = String::new();
    for letter in name.to_lowercase().chars() {
        let spelt: &str = match letter {
            'ä' if !keep_marks => "ae",
            'ö' if !keep_marks => "oe",
            'ü' if !keep_marks => "ue",
            'ß' => "ss",
            'é' | 'è' | 'ê' if !keep_marks => "e",
            'â' | 'à' if !keep_marks => "a",
            'ç' if !keep_marks => "c",
            letter if letter.is_alphanumeric() => {
                label.push(letter);
                continue;
            }
            _ => "-",
        };
        if spelt != "-" || !(label.is_empty() || label.ends_with('-')) {
            label.push_str(spelt);
        }
    }
    label.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_host_labels() {
        for (name, keep_marks, expected) in [
            ("Brass Kettle Bakery", false, "brass-kettle-bakery"),
            ("Bäckerei zur Mühle", false, "baeckerei-zur-muehle"),
            ("Bücherstube Fuchs", true, "bücherstube-fuchs"),
            ("Librairie  du Théâtre ", false, "librairie-du-theatre"),
            ("Pharmacie Saint-Michel", false, "pharmacie-saint-michel"),
        ] {
            assert_eq!(slug(name, keep_marks), expected);
        }
    }
}
