"""
Sending mails over SMTP.

:mod:`~pypinger.notify.smtp.session` imports :mod:`twisted.mail`, which installs the reactor and looks up the name of
this host: it is imported by the first mail, in a thread.
"""
