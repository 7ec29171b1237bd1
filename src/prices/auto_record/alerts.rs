//! Who is told of a change of price or availability: once per event, at the moment it happens. Pure.

use super::timeline::Value;
use gleaner_extract::price::Amount;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    PriceDrop,
    /// The price has come down to the target.
    TargetReached,
    /// It can be had again.
    Restock,
}

impl Kind {
    /// As the column has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PriceDrop => "price_drop",
            Self::TargetReached => "target_reached",
            Self::Restock => "restock",
        }
    }
}

/// Who wants to know what.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent wishes, as the columns have them"
)]
pub struct Subscription {
    pub id: i64,
    /// Tell of a price at or below this.
    pub target: Option<Amount>,
    /// The target's currency; the site's if nothing.
    pub target_currency: Option<String>,
    pub notify_drop: bool,
    /// Smaller drops than this, in percent, are not.
    pub min_drop_percent: f64,
    /// Whether the target is told.
    pub notify_target: bool,
    pub notify_restock: bool,
    /// Whether a webhook wants it.
    pub has_webhook: bool,
    /// Whether it is to be mailed.
    pub has_email: bool,
}

impl Subscription {
    /// Where it is to be kept and delivered to.
    pub fn channels(&self) -> impl Iterator<Item = &'static str> {
        [
            Some("list"),
            self.has_webhook.then_some("webhook"),
            self.has_email.then_some("email"),
        ]
        .into_iter()
        .flatten()
    }
}

/// What a subscriber is told when `after` takes the place of `before`: each kind with its message, which begins with `name`.
#[must_use]
pub fn alerts(
    before: Option<&Value>,
    after: &Value,
    subscription: &Subscription,
    name: &str,
) -> Vec<(Kind, String)> {
    let mut told = Vec::new();
    if subscription.notify_drop
        && let Some(before) = before
        && let Some(change) = after.change_percent(before)
        && after.price < before.price
        && -change >= subscription.min_drop_percent
    {
        let text = format!(
            "{name}: price fell by {:.1} % from {} to {} {}",
            -change, before.price, after.price, after.currency
        );
        told.push((Kind::PriceDrop, text));
    }
    if subscription.notify_target
        && let Some(target) = subscription.target
        && is_in(subscription, after)
        && after.price <= target
        && !before.is_some_and(|before| is_in(subscription, before) && before.price <= target)
    {
        let text = format!(
            "{name}: price is {} {}, your target is {target}",
            after.price, after.currency
        );
        told.push((Kind::TargetReached, text));
    }
    if subscription.notify_restock
        && before.and_then(can_be_had) == Some(false)
        && can_be_had(after) == Some(true)
    {
        let text = format!(
            "{name}: back in stock at {} {}",
            after.price, after.currency
        );
        told.push((Kind::Restock, text));
    }
    told
}

/// Whether the target speaks of this currency.
fn is_in(subscription: &Subscription, value: &Value) -> bool {
    subscription
        .target_currency
        .as_ref()
        .is_none_or(|currency| *currency == value.currency)
}

/// Whether it can be had now; nothing where that was not told. To order ahead is not to have.
fn can_be_had(value: &Value) -> Option<bool> {
    let word = value.availability.as_deref()?;
    Some(matches!(word, "InStock" | "LimitedAvailability"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(price: &str, currency: &str, availability: &str) -> Value {
        Value {
            price: price.parse().expect("a price"),
            currency: currency.to_owned(),
            availability: (!availability.is_empty()).then(|| availability.to_owned()),
        }
    }

    fn wants(target: Option<&str>) -> Subscription {
        Subscription {
            target: target.map(|price| price.parse().expect("a price")),
            notify_drop: true,
            min_drop_percent: 5.0,
            notify_target: true,
            notify_restock: true,
            ..Subscription::default()
        }
    }

    fn check(before: Option<&Value>, after: &Value, subscription: &Subscription, expected: &str) {
        let told = alerts(before, after, subscription, "Kettle");
        let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds.join(" "), expected, "{before:?} -> {after:?}");
        assert!(told.iter().all(|(_, text)| text.starts_with("Kettle: ")));
    }

    /// PT-5, PT-6: an edge is told, a state is not.
    #[test]
    fn pt5_pt6_events_are_told_and_states_are_not() {
        let eur = |price| value(price, "EUR", "InStock");
        let out = |price| value(price, "EUR", "OutOfStock");
        let all = &wants(Some("80"));
        for (before, after, expected) in [
            (Some(eur("100")), eur("90"), "price_drop"),
            (Some(eur("100")), eur("96"), ""),
            (Some(eur("100")), eur("95"), "price_drop"),
            (Some(eur("100")), eur("110"), ""),
            (Some(eur("100")), eur("80"), "price_drop target_reached"),
            // Below it already.
            (Some(eur("80")), eur("70"), "price_drop"),
            (Some(eur("70")), eur("75"), ""),
            (None, eur("70"), "target_reached"),
            (None, eur("90"), ""),
            (Some(out("100")), eur("100"), "restock"),
            (Some(eur("100")), out("100"), ""),
            (
                Some(out("100")),
                eur("70"),
                "price_drop target_reached restock",
            ),
            (Some(value("100", "EUR", "")), eur("100"), ""),
            (Some(out("100")), value("100", "EUR", "PreOrder"), ""),
            // Between currencies there is no drop.
            (Some(value("100", "USD", "InStock")), eur("90"), ""),
        ] {
            check(before.as_ref(), &after, all, expected);
        }
    }

    #[test]
    fn wishes_are_kept_to() {
        let (before, after) = (
            value("100", "EUR", "OutOfStock"),
            value("70", "EUR", "InStock"),
        );
        let none = Subscription {
            notify_drop: false,
            notify_target: false,
            notify_restock: false,
            ..wants(Some("80"))
        };
        check(Some(&before), &after, &none, "");
        let other_currency = Subscription {
            target_currency: Some("USD".to_owned()),
            ..wants(Some("80"))
        };
        check(Some(&before), &after, &other_currency, "price_drop restock");
        let everywhere = Subscription {
            has_webhook: true,
            has_email: true,
            ..wants(None)
        };
        assert_eq!(
            everywhere.channels().collect::<Vec<_>>(),
            ["list", "webhook", "email"]
        );
        assert_eq!(wants(None).channels().collect::<Vec<_>>(), ["list"]);
    }
}
