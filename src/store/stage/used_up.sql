-- Whether a row has used up its attempts, other than those that were nobody's fault and could not be given back. A condition on
-- "item"; the history is looked at only when the number alone says so.
item.{stage}_attempts >= {limit} AND item.{stage}_attempts - ({excused}) >= {limit}
