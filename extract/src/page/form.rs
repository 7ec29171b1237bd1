//! Recognises a form that writes to the owner of a page.

use scraper::node::Element;

use crate::html::{Attributes, Page, ego::NodeRef};

/// Class prefixes of form plug-ins whose plain form is a contact form.
const CONTACT_CLASSES: &[&str] = &[
    "wpcf7-form",
    "contact-form",
    "contactform",
    "kontaktformular",
];

/// Words in a form's own attributes that say what it is for, in several languages.
const CONTACT_WORDS: &[&str] = &[
    "contact", "kontakt", "enquir", "inquir", "anfrage", "contatt", "contato", "message",
    "feedback",
];

/// Words of forms that take text and an address but are for something else.
const OTHER_WORDS: &[&str] = &[
    "comment",
    "login",
    "signin",
    "register",
    "newsletter",
    "subscribe",
    "search",
    "checkout",
    "review",
];

#[derive(Default)]
struct Fields {
    has_textarea: bool,
    has_email: bool,
    has_password: bool,
    texts: usize,
}

/// A form with room for a message and a way to answer, that is not for comments, login or the like.
pub(super) fn has_contact_form(page: &Page) -> bool {
    page.elements()
        .filter(|(_, element)| element.name() == "form")
        .take(50)
        .any(|(node, element)| is_contact_form(node, element))
}

fn is_contact_form(node: NodeRef<'_>, element: &Element) -> bool {
    let says = |words: &[&str]| {
        ["id", "class", "name", "action", "aria-label"]
            .iter()
            .filter_map(|name| element.attribute(name))
            .any(|value| {
                let value = value.to_ascii_lowercase();
                words.iter().any(|word| value.contains(word))
            })
    };
    let has_contact_class = element.classes().any(|class| {
        CONTACT_CLASSES
            .iter()
            .any(|prefix| class.starts_with(prefix))
    });
    let fields = fields(node);
    if fields.has_password || (says(OTHER_WORDS) && !has_contact_class) {
        return false;
    }
    let can_answer = fields.has_email || fields.texts >= 2;
    (fields.has_textarea && can_answer)
        || ((has_contact_class || says(CONTACT_WORDS)) && fields.has_email && fields.texts >= 2)
}

fn fields(form: NodeRef<'_>) -> Fields {
    let mut fields = Fields::default();
    for element in form
        .descendants()
        .filter_map(|node| node.value().as_element())
    {
        match element.name() {
            "textarea" => {
                let name = element
                    .attribute("name")
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                fields.has_textarea |= !name.contains("captcha");
            }
            "input" => {
                let kind = element
                    .attribute("type")
                    .unwrap_or("text")
                    .to_ascii_lowercase();
                let name = ["name", "id", "placeholder"]
                    .iter()
                    .filter_map(|attribute| element.attribute(attribute))
                    .collect::<Vec<_>>()
                    .join(" ")
                    .to_ascii_lowercase();
                match kind.as_str() {
                    "password" => fields.has_password = true,
                    "email" => fields.has_email = true,
                    "text" | "tel" => {
                        fields.texts += 1;
                        fields.has_email |= name.contains("mail");
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    fields
}
