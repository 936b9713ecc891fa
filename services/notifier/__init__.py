"""The notifier: the only service with contact details; decides which messages go to members, and keeps their inbox."""
