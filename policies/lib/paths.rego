# METADATA
# title: Patterns for paths
package lib.paths

# METADATA
# title: a folder and everything below it
# description: >-
#   No segment begins with a dot, so there is neither `..` nor a hidden file; no empty segment, no backslash. The
#   folder must be plain: letters, digits, dashes, underscores and slashes; otherwise there is no pattern at all.
under(folder) := $"{folder}(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*/?" if {
	regex.match(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`, folder)
}
