int buddy_placeholder;
