mod format;
mod recorded;
mod replay;
