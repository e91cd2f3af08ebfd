require "vnd.dovecot.pipe";
pipe "mailsudo";
