# METADATA
# title: Patterns for identifiers
# description: A pattern always has to match the whole value.
package lib.ids

# METADATA
# title: PREFIX-1, PREFIX-2, … up to six digits
numbered(prefix) := $"{prefix}-[0-9]\{1,6}"

# METADATA
# title: names that begin with an owner, such as acme/oven
# description: The rest has no slash, so that nothing can be nested under another owner.
owned(owner) := $"{owner}/[A-Za-z0-9][A-Za-z0-9 ._-]*"
