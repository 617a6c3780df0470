//! Invalidates a group of entries by their tag.
fn main() {
    let pages = larder::Cache::new(1000);
    pages.insert_with("/ann", "her page", larder::EntryOptions::new().tag("ann"));
    pages.insert_with("/ann/orders", "2 pears", larder::EntryOptions::new().tag("ann"));
    pages.invalidate_tag("ann");
    println!("{} pages of Ann's are left", pages.len()); // 0
}
