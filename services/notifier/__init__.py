"""The notifier: the one place with contact details; decides what members are told, and keeps their inbox."""
