"""The commit loop: units in, outcomes out, each made durable; and what a film's units lead to.

The only writer of the manifest. Not here: who computes, and where."""
